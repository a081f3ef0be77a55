"""What the OpenID provider says of itself: its endpoints and its keys (OpenID Connect Discovery 1.0).

Both are asked for when somebody signs in, kept for an hour, and for a day where the provider does not answer: a
sign-in that began goes on. The configuration names the issuer; nobody else can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url

from bridge.jose import strict_json
from bridge.jose.algorithms import ALGORITHMS
from bridge.jose.keys import UnfitKey, VerificationKey, import_public
from bridge.metadata.uris import UnfitUri, require_secure
from bridge.model.errors import EvidenceRejected, SignInRejected, Unavailable
from bridge.model.reasons import Reason

MAX_DOCUMENT_BYTES = 64 * 1024
MAX_KEY_SET_BYTES = 256 * 1024
MAX_KEYS = 100
FRESH_SECONDS = 3600
KEEP_SECONDS = 24 * 3600
# What failed, and a key set that lacks a key, is asked again after so long at the earliest.
AGAIN_SECONDS = 5
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

T = TypeVar("T")


class Get(Protocol):
    """Who fetches a JSON document from the provider, within bounds of its own."""

    def __call__(self, url: str, *, max_bytes: int) -> bytes:
        """Raises: EvidenceRejected for a document that is no good; Unavailable for what passes by itself."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """The part of the metadata that a sign-in needs. `names_itself`: its answers carry `iss` (RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    authentication_methods: frozenset[str]
    id_token_algorithms: frozenset[str]
    names_itself: bool


class UpstreamProvider:
    """One provider, as it last described itself. Thread-safe."""

    def __init__(self, issuer: str, get: Get) -> None:
        self._issuer, self._get = issuer, get
        self._provider = _Kept(self._discover)
        self._keys: _Kept[tuple[VerificationKey, ...]] = _Kept(self._fetch_keys)

    @property
    def issuer(self) -> str:
        """The issuer that is configured, and the only one whose word counts."""
        return self._issuer

    def describe(self, now: int) -> Provider:
        """Its metadata. Raises: Unavailable when there is none that is at most a day old."""
        return self._provider.get(now)

    def key(self, alg: str, kid: str | None, *, now: int) -> VerificationKey:
        """The one key that can have signed with this algorithm, under this name if there is one (T-12).

        A name that is not known has the keys fetched again. Raises: SignInRejected; Unavailable.
        """
        fitting = _fitting(self._keys.get(now), alg, kid)
        if not fitting:
            fitting = _fitting(self._keys.again(now), alg, kid)
        if len(fitting) != 1:
            words = "several keys of the provider fit" if fitting else "no key of the provider fits"
            raise SignInRejected(Reason.SIGN_IN_REJECTED, f"{words} its ID token")
        return fitting[0]

    def _discover(self, now: int) -> Provider:
        url = get_well_known_url(self._issuer, external=True)
        return _read_metadata(_fetched(self._get, url, MAX_DOCUMENT_BYTES), self._issuer)

    def _fetch_keys(self, now: int) -> tuple[VerificationKey, ...]:
        entries = _fetched(self._get, self.describe(now).jwks_uri, MAX_KEY_SET_BYTES).get("keys")
        if not isinstance(entries, list) or len(entries) > MAX_KEYS:
            raise _unavailable("its key set is none, or too large")
        return tuple(key for entry in entries if (key := _usable(entry)) is not None)


class _Kept(Generic[T]):
    """A document that is asked for anew each hour, and kept for a day where that fails."""

    def __init__(self, fetch: Callable[[int], T]) -> None:
        self._fetch = fetch
        # Value, when it was got, when it was last asked for: one assignment, so that no reader sees a mixture.
        self._state: tuple[T, int, int] | None = None

    def get(self, now: int) -> T:
        """The document, fresh if that can be. Raises: Unavailable."""
        state = self._state
        if state is None or now >= state[1] + KEEP_SECONDS:
            return self._ask(now)
        if now < state[1] + FRESH_SECONDS or now < state[2] + AGAIN_SECONDS:
            return state[0]
        self._state = (state[0], state[1], now)
        try:
            return self._ask(now)
        except Unavailable:
            return state[0]

    def again(self, now: int) -> T:
        """The document as it is now, unless it was asked for within seconds. Raises: Unavailable."""
        state = self._state
        if state is None or now >= state[2] + AGAIN_SECONDS:
            return self._ask(now)
        return state[0]

    def _ask(self, now: int) -> T:
        value = self._fetch(now)
        self._state = (value, now, now)
        return value


def _fetched(get: Get, url: str, max_bytes: int) -> dict[str, object]:
    try:
        return strict_json.loads_object(get(url, max_bytes=max_bytes), max_bytes=max_bytes)
    except EvidenceRejected as error:
        # To a person who signs in all of it is the same: come back later. An operator reads the log.
        raise _unavailable(f"{url}: {error.detail}") from error
    except strict_json.InvalidJson as error:
        raise _unavailable(f"{url}: {error}") from error


def _read_metadata(document: Mapping[str, object], issuer: str) -> Provider:
    """OpenID Connect Discovery 1.0 sections 3 and 4.3. Raises: Unavailable."""
    if document.get("issuer") != issuer:
        raise _unavailable("its metadata is another issuer's")
    metadata = OpenIDProviderMetadata(dict(document))
    try:
        endpoints = {name: _endpoint(name, document.get(name)) for name in _ENDPOINTS}
        for name in ("issuer", *_ENDPOINTS):
            getattr(metadata, f"validate_{name}")()
    except ValueError as error:
        raise _unavailable(f"its metadata: {error}") from error
    return Provider(
        issuer,
        **endpoints,
        authentication_methods=_texts(document, "token_endpoint_auth_methods_supported", {"client_secret_basic"}),
        id_token_algorithms=_texts(document, "id_token_signing_alg_values_supported", {"RS256"}) & ALGORITHMS,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing")
    try:
        require_secure(value, loopback=False)
    except UnfitUri as fault:
        raise ValueError(f"{name} {fault}") from None
    return value


def _texts(document: Mapping[str, object], name: str, otherwise: set[str]) -> frozenset[str]:
    """A list of strings; what the specification says where it is absent."""
    value = document.get(name)
    return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list) else frozenset(otherwise)


def _usable(entry: object) -> VerificationKey | None:
    """The key, if it is one that the key policy lets verify; keys for encryption are among them too."""
    try:
        return import_public(entry) if isinstance(entry, dict) else None
    except UnfitKey:
        return None


def _fitting(keys: tuple[VerificationKey, ...], alg: str, kid: str | None) -> list[VerificationKey]:
    return [key for key in keys if key.fits(alg) and (kid is None or key.kid == kid)]


def _unavailable(words: str) -> Unavailable:
    return Unavailable(Reason.SIGN_IN_UNAVAILABLE, f"the login provider: {words}")
