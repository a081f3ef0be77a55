"""What the consent page shows, in the order in which a person has to know it (T-43, PCR-31, CIMD-25).

Who asks is what was verified: the host of a document's URL, a SPIFFE ID, the client that an issuer vouches for. What
a client calls itself is shown after that, as its own word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.grants.consent import Question, Words
from bridge.metadata.uris import UnfitUri, read_web
from bridge.model.client import ClientKind

MAX_NAME_LENGTH = 60
MAX_IDENTIFIER_LENGTH = 300
# Control, format (bidirectional overrides among them), surrogate, private use, unassigned, separators of lines.
_NEUTRALISED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Marks that pile up on one letter reach into the lines above.
_MAX_MARKS = 2


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. `name` is shown first and biggest, `kind` says what sort of name that is and who stands behind it,
    `identifier` the whole of it where `name` is a part."""

    name: str
    kind: str
    identifier: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What is granted at one resource."""

    resource: Words
    scopes: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class ConsentView:
    """The page's values. `calls_itself` is unverified, cut and neutralised. `is_elsewhere`: the answer goes to another
    host than the one that asks; `is_local`: some program on the user's device gets it; `is_proved`: whoever asks
    proved a SPIFFE ID."""

    asker: Asker
    acts_with: str | None
    calls_itself: str | None
    answer_to: str
    answer_kind: str
    accesses: tuple[Access, ...]
    is_key_bound: bool
    is_elsewhere: bool
    is_local: bool
    is_proved: bool
    can_be_remembered: bool
    user: str


def consent_view(question: Question, user: str, home: Mapping[str, str]) -> ConsentView:
    """The view of a question to the user of that name. `home` is the resource that each scope belongs to."""
    request = question.request
    spiffe_id = request.subject.spiffe_id
    asker = _asker(question)
    # On a loopback port and on a scheme of its own any program of the device may listen (RFC 8252 section 8.6).
    is_local = question.is_loopback or not request.redirect_uri.startswith("https://")
    acts_with = None if spiffe_id is None or str(spiffe_id) == asker.name else str(spiffe_id)
    name = question.metadata.get("client_name")
    return ConsentView(
        asker=asker,
        acts_with=acts_with,
        calls_itself=shown(name, MAX_NAME_LENGTH) if isinstance(name, str) and name.strip() else None,
        answer_to=shown(question.redirect_host, MAX_IDENTIFIER_LENGTH),
        answer_kind=_answer_kind(question),
        accesses=accesses(question.scopes, question.resources, home),
        is_key_bound=question.is_key_bound,
        is_elsewhere=request.kind is ClientKind.METADATA_DOCUMENT
        and not is_local
        and question.redirect_host != asker.name,
        is_local=is_local,
        is_proved=spiffe_id is not None,
        can_be_remembered=question.can_be_remembered,
        user=shown(user, MAX_NAME_LENGTH),
    )


def accesses(scopes: Sequence[Words], resources: Sequence[Words], home: Mapping[str, str]) -> tuple[Access, ...]:
    """Each resource with the scopes that belong to it, in order. A scope of none of them, which the catalogue may
    have lost meanwhile, stands at all."""
    names = {resource.name for resource in resources}
    return tuple(
        Access(
            resource,
            tuple(one for one in scopes if home.get(one.name) == resource.name or home.get(one.name) not in names),
        )
        for resource in resources
    )


def shown(text: str, at_most: int) -> str:
    """A text of somebody else's on one line: what would turn, hide or overlay other text is replaced or left out,
    and the rest is cut. Not done: escaping, which templates do."""
    signs: list[str] = []
    marks = 0
    for sign in text:
        category = unicodedata.category(sign)
        marks = marks + 1 if category.startswith("M") else 0
        if marks > _MAX_MARKS:
            continue
        signs.append("\N{REPLACEMENT CHARACTER}" if category in _NEUTRALISED else sign)
    line = " ".join("".join(signs).split())
    return line if len(line) <= at_most else line[: at_most - 1] + "…"


def _asker(question: Question) -> Asker:
    request = question.request
    subject, client_id = request.subject, shown(request.client_id, MAX_IDENTIFIER_LENGTH)
    match request.kind:
        case ClientKind.METADATA_DOCUMENT:
            return Asker(_host(request.client_id), "a website that describes itself at", client_id)
        case ClientKind.PUSHED:
            words = "an application that nobody registered: all that is known is where the answer goes"
            if not request.redirect_uri.startswith("https://"):
                return Asker("A program on your device", words)
            return Asker(shown(question.redirect_host, MAX_IDENTIFIER_LENGTH), words)
        case ClientKind.STATEMENT:
            name = shown(subject.subject or client_id, MAX_IDENTIFIER_LENGTH)
            return Asker(name, "vouched for by", shown(subject.issuer or "", MAX_IDENTIFIER_LENGTH))
        case ClientKind.SHARED:
            return Asker(client_id, "a group of workloads of this organisation")
        case ClientKind.SPIFFE | ClientKind.INSTANCE:
            name = client_id if subject.spiffe_id is None else str(subject.spiffe_id)
            return Asker(name, "a workload that has proved this SPIFFE ID")


def _host(url: str) -> str:
    try:
        web = read_web(url)
    except UnfitUri:
        return shown(url, MAX_IDENTIFIER_LENGTH)
    return web.host if web.port is None else f"{web.host}:{web.port}"


def _answer_kind(question: Question) -> str:
    if question.is_loopback:
        return "a program on the computer that you are using"
    if question.request.redirect_uri.startswith("https://"):
        return "a website"
    return "an app on the device that you are using"
