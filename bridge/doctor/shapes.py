"""Which of its kinds it is that somebody gives the doctor: told, or else read off what it says of itself, which is
good for choosing among examinations and for nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.doctor.given import (
    Given,
    GivenAssertion,
    GivenChain,
    GivenDocument,
    GivenJwt,
    GivenProof,
    NothingGiven,
    read_given,
)
from bridge.jose import strict_json
from bridge.jose.jws import MalformedToken, parse_compact
from bridge.jose.keys import PRIVATE_MEMBERS
from bridge.model.evidence import Door, JwtEvidence
from bridge.registration.authentication import asserted_client
from bridge.verify.document_checks import MAX_DOCUMENT_BYTES
from bridge.verify.dpop import MAX_PROOF_BYTES, TYPE
from bridge.verify.statement_claims import is_about_a_workload

_KEY = "it is a private key. It was not looked at; keep it out of what you give to others, and give the {} made with it"


class Shape(StrEnum):
    """The kinds, as people name them."""

    SVID = "svid"
    STATEMENT = "statement"
    ASSERTION = "assertion"
    DOCUMENT = "document"
    PROOF = "proof"


@dataclass(frozen=True, slots=True)
class Told:
    """What was said beside the thing itself. `shape` None: read it off. `url`: of a document, where it is; of a proof,
    which was asked by `method`, None for `endpoint`, that of the door."""

    door: Door
    endpoint: str
    shape: Shape | None = None
    method: str = "POST"
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What is given and, where it was a whole registration request, the rest of its body; None for anything else."""

    given: Given
    body: Mapping[str, object] | None = None


def read_as(raw: bytes, told: Told) -> Read:
    """What these bytes are. Believes nothing of it. Raises: NothingGiven, whose message quotes nothing of it."""
    text = raw.decode("utf-8", "surrogateescape").strip()
    if told.shape is Shape.DOCUMENT or (told.shape is None and told.url is not None and text.startswith("{")):
        if told.url is None:
            raise NothingGiven("a document is judged beside its URL: say --url, or give the URL alone")
        return Read(GivenDocument(told.url, raw))
    if text.startswith("{"):
        found = _in_object(text)
        if found is not None:
            return found
    given = read_given(raw)
    if isinstance(given, GivenChain):
        return Read(given)
    assert isinstance(given, GivenJwt), "a file without a chain is taken for a token"
    return Read(_token(given, told))


def _token(given: GivenJwt, told: Told) -> Given:
    token = given.assertion
    shape = told.shape or _shape_of(token, told.door)
    if shape is Shape.PROOF:
        return GivenProof(token, told.method, told.url or told.endpoint, given.notes)
    if shape is Shape.ASSERTION:
        return GivenAssertion(token, given.notes)
    return given


def _shape_of(token: str, door: Door) -> Shape:
    try:
        parsed = parse_compact(token, max_bytes=MAX_PROOF_BYTES)
        if parsed.header.get("typ") == TYPE:
            return Shape.PROOF
        about_a_workload = is_about_a_workload(parsed.claims())
    except MalformedToken:
        return Shape.SVID
    if door is Door.REGISTER or about_a_workload or asserted_client(JwtEvidence(token, general=True)) is None:
        return Shape.SVID
    return Shape.ASSERTION


def _in_object(text: str) -> Read | None:
    """The statement of a registration request; None for what is left to the examination of tokens.

    Raises: NothingGiven for a private key, and for an object that is none of these.
    """
    try:
        found = strict_json.loads_object(text, max_bytes=MAX_DOCUMENT_BYTES)
    except strict_json.InvalidJson:
        return None
    if _is_private(found):
        raise NothingGiven(_KEY.format("assertion or proof"))
    statement = found.get("software_statement")
    if isinstance(statement, str):
        body = {name: value for name, value in found.items() if name != "software_statement"}
        return Read(GivenJwt(statement, ("The statement was taken out of the registration request.",)), body)
    if "signature" in found or "signatures" in found:
        return None
    raise NothingGiven("a JSON object without software_statement; a client's metadata document needs --url")


def _is_private(found: Mapping[str, object]) -> bool:
    keys = found.get("keys")
    entries = [found, *(keys if isinstance(keys, list) else [])]
    return any(
        isinstance(one, Mapping) and "kty" in one and (one["kty"] == "oct" or not PRIVATE_MEMBERS.isdisjoint(one))
        for one in entries
    )
