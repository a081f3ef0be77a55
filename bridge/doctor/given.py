"""From what somebody saved to the SVID in it: a JWT, what `spire-agent api fetch jwt` prints, or a PEM chain.

What it holds beside the SVID is not kept: a private key is skipped, and that it is there is said.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field

# Far above any SVID that is taken, and no more than a command should read of a file that is none.
MAX_BYTES = 1024 * 1024

# What stands between ends at the first five dashes: looking for the end further on, in text of a megabyte that only
# ever begins, takes minutes.
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,64})-----((?:[^-]++|-(?!----))*+)-----END \1-----")
# What `spire-agent api fetch jwt` prints for people: each token on a line of its own behind a tab.
_PRINTED = re.compile(r"^token\([^\n]*\):\n\t([^\s]+)$", re.MULTILINE)


class NothingGiven(ValueError):
    """There is no SVID in it. The message says what there is, and what to give instead."""


@dataclass(frozen=True, slots=True)
class GivenJwt:
    """What may be a JWT-SVID. `notes` are sentences about how it was found."""

    assertion: str = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenChain:
    """What may be the chain of an X.509-SVID, DER, in the order of the file."""

    chain: tuple[bytes, ...] = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenAssertion:
    """What may be a client's own assertion (`private_key_jwt`)."""

    assertion: str = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenProof:
    """What may be a DPoP proof, and the method and URL of the request that it would be sent with."""

    proof: str = field(repr=False)
    method: str
    url: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenDocument:
    """The URL of a client's metadata document, and what somebody says is there; None: it is to be fetched."""

    url: str
    body: bytes | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


Given = GivenJwt | GivenChain | GivenAssertion | GivenProof | GivenDocument


def read_given(raw: bytes) -> Given:
    """The SVID in these bytes. Believes nothing of it: what is no sound SVID is for the verification to refuse.

    Raises: NothingGiven for nothing at all, a key alone, or more than 1 MiB.
    """
    if len(raw) > MAX_BYTES:
        raise NothingGiven(f"more than {MAX_BYTES} bytes: give one SVID")
    text = raw.decode("utf-8", "surrogateescape")
    if "-----BEGIN " in text:
        return _chain(text)
    assertion, notes = _assertion(text)
    if not assertion:
        raise NothingGiven("it is empty: give a JWT-SVID, or a chain of certificates in PEM")
    return GivenJwt(assertion, notes)


def _chain(text: str) -> GivenChain:
    chain: list[bytes] = []
    notes: list[str] = []
    for label, body in _PEM.findall(text):
        if label == "CERTIFICATE":
            chain.append(_der(body))
        elif label.endswith("PRIVATE KEY"):
            notes.append("There is a private key in it. It was not read; keep it out of what you give to others.")
        else:
            notes.append(f"It holds a {label.lower()}, which is no part of an SVID.")
    if not chain:
        raise NothingGiven("there is no certificate in it: give the chain (svid.pem), the leaf first")
    return GivenChain(tuple(chain), tuple(dict.fromkeys(notes)))


def _der(body: str) -> bytes:
    """What stands between the lines; as it is where that is no base64, so that the verification says so."""
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return body.encode("utf-8", "surrogateescape")


def _assertion(text: str) -> tuple[str, tuple[str, ...]]:
    printed = _PRINTED.findall(text) or _in_json(text)
    if printed:
        more = f" It is the first of {len(printed)}." if len(printed) > 1 else ""
        return printed[0], (f"The SVID was taken out of what spire-agent printed.{more}",)
    token = text.removesuffix("\n").removesuffix("\r")
    if token != text:
        return token, ("The line end behind the token was left out; a request must not send it.",)
    return token, ()


def _in_json(text: str) -> list[str]:
    """The tokens of `spire-agent api fetch jwt -output json`."""
    if not text.lstrip().startswith("["):
        return []
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return []
    found = [part["svids"] for part in parts if isinstance(part, dict) and isinstance(part.get("svids"), list)]
    svids = [one.get("svid") for svids in found for one in svids if isinstance(one, dict)]
    return [svid for svid in svids if isinstance(svid, str)]
