"""The steps by which a client with keys of its own in its record is known: before its assertion is verified, where the
keys are found; and after, whether it may still come by them (KBC-30 to 35, interface section 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.model.errors import EvidenceRejected
from bridge.model.identity import PolicySubject
from bridge.model.reasons import Reason
from bridge.model.steps import Step
from bridge.registration.naming import subject_of
from bridge.verify.client_assertions import keys_of_jwks
from bridge.verify.key_sets import JwtKeys

# Clients that may have keys of their own in their record.
_KEYED = frozenset({ClientKind.INSTANCE, ClientKind.STATEMENT})


class Lookup(Protocol):
    """The part of `ClientStore` that finds a record by its name."""

    def get(self, client_id: str) -> ClientRecord | None: ...


@dataclass(slots=True)
class KeyedCase:
    """A caller by `private_key_jwt` on its way. `client_id` is unverified: it only says where to look. `still_trusted`
    as of `Authentication`; `now`: epoch seconds. The other fields are there once the step that puts them has held."""

    clients: Lookup
    client_id: str
    now: int
    still_trusted: Callable[[PolicySubject, int], None]
    record: ClientRecord = field(init=False)
    subject: PolicySubject = field(init=False)
    jwks: Mapping[str, object] = field(init=False, repr=False)
    keys: JwtKeys = field(init=False)


def _registered(case: KeyedCase) -> None:
    record = case.clients.get(case.client_id)
    jwks = None if record is None or record.kind not in _KEYED else record.metadata.get("jwks")
    subject = None if record is None else subject_of(record)
    if record is None or subject is None or not isinstance(jwks, dict):
        raise EvidenceRejected(Reason.CLIENT_UNKNOWN, "no record with keys goes by what the assertion says")
    case.record, case.subject, case.jwks = record, subject, jwks


def _keys(case: KeyedCase) -> None:
    case.keys = keys_of_jwks(case.jwks)


def _lease(case: KeyedCase) -> None:
    # One that waits for an operator is who it is, and is told so by whoever decides about it.
    state = case.record.state_at(case.now)
    if state not in (ClientState.ACTIVE, ClientState.PENDING):
        raise EvidenceRejected(Reason.LEASE_ENDED, f"{case.client_id} is {state}: come with an SVID")


def _trust(case: KeyedCase) -> None:
    case.still_trusted(case.subject, case.now)


FINDING_STEPS: tuple[Step[KeyedCase], ...] = (
    Step("registered", _registered),
    Step("client-keys", _keys, ("registered",)),
)
# Held once the assertion is verified: from the signature on the caller is that client.
STANDING_STEPS: tuple[Step[KeyedCase], ...] = (
    Step("lease", _lease, ("registered",)),
    Step("trust", _trust, ("registered",)),
)
