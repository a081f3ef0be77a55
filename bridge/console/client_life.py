"""One client with all that there is to say of it: what it is, whom it stands for, what it could get, what it did."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.console.client_grants import ClientGrants, client_grants
from bridge.console.waiting import WaitingTerms, waiting_client
from bridge.model.audit import AuditRow
from bridge.model.authority import Authorities
from bridge.model.client import ClientKind, ClientRecord, Member
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SCHEME, InvalidSpiffeId, SpiffeId
from bridge.model.terms import Effect
from bridge.policy.evaluate import PolicySet
from bridge.policy.vocabulary import GRANTS_AT, VOCABULARIES
from bridge.store.ports import AuditFilter, ClientFilter, Store

# Lines of each part of the page.
PAGE, EVENTS = 25, 20
# Rows of the log that are looked at for what a client did last.
SCAN = 10_000


@dataclass(frozen=True, slots=True)
class Could:
    """One scope that it could get, once an operator approved it (`asks`), with which evidence and by which rule."""

    scope: str
    resource: str
    rule: str
    asks: bool
    evidence: Sequence[str]


@dataclass(frozen=True, slots=True)
class ClientLife:
    """One client. `record` is None for an identity that has instances only, or was seen under others only. `members`
    are SPIFFE IDs under it, `under` the clients it was seen under itself, `instances` its own, `grants` those of users
    to it; each list is a page, and `onward` says by list behind which name the next begins. `events` are the newest
    rows about it; `older` the row from which on nobody looked."""

    name: str
    record: ClientRecord | None
    instances: Sequence[ClientRecord]
    members: Sequence[Member]
    under: Sequence[Member]
    onward: Mapping[str, str]
    waits: Sequence[WaitingTerms]
    ends_at: int | None
    authorities: Authorities
    could: Sequence[Could]
    events: Sequence[AuditRow]
    older: int | None
    grants: ClientGrants

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """Its metadata by name, a text as it is and everything else as JSON."""
        members = {} if self.record is None else self.record.metadata
        return [
            (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in sorted(members.items())
        ]

    @property
    def is_known(self) -> bool:
        """Whether anybody goes by the name."""
        return self.record is not None or bool(self.instances or self.under or self.grants.given)


def client_life(
    store: Store, policy: PolicySet, name: str, *, after: Mapping[str, str], now: int, pending_expiry: int
) -> ClientLife:
    """The client or identity of that name. `after`: by list, behind which name its page begins."""
    waiting = waiting_client(store.clients, policy, name, now=now, pending_expiry=pending_expiry)
    record = waiting.record
    found = _lists(store, name, record, after)
    grants = client_grants(store.grants, name, record, after=after, now=now)
    page = store.audit.page(AuditFilter(client=name), before=None, limit=EVENTS, scan=SCAN)
    return ClientLife(
        name=name,
        record=record,
        instances=found[0],
        members=found[1],
        under=found[2],
        onward={**found[3], **grants.onward},
        waits=waiting.waits,
        ends_at=waiting.ends_at,
        authorities=() if record is None else record.authorities,
        could=_could(policy, _subject_of(name, record)),
        events=page.rows,
        older=page.before,
        grants=grants,
    )


def _lists(
    store: Store, name: str, record: ClientRecord | None, after: Mapping[str, str]
) -> tuple[Sequence[ClientRecord], Sequence[Member], Sequence[Member], Mapping[str, str]]:
    """Instances, members, and where it is a member itself; and where each goes on."""
    clients = store.clients
    instances = clients.list(ClientFilter(parent=name), limit=PAGE + 1, after=after.get("instance", ""))
    members, under = list[Member](), list[Member]()
    if record is not None and record.kind in (ClientKind.SHARED, ClientKind.METADATA_DOCUMENT):
        members = clients.members(name, limit=PAGE + 1, after=after.get("member", ""))
    if name.startswith(SCHEME):
        under = clients.memberships(name, limit=PAGE + 1, after=after.get("under", ""))
    onward = {}
    if len(instances) > PAGE:
        onward["instance"] = instances[PAGE - 1].client_id
    if len(members) > PAGE:
        onward["member"] = members[PAGE - 1].spiffe_id
    if len(under) > PAGE:
        onward["under"] = under[PAGE - 1].client_id
    return instances[:PAGE], members[:PAGE], under[:PAGE], onward


def _subject_of(name: str, record: ClientRecord | None) -> PolicySubject | None:
    """Whom policy would be asked about; None where a name does not say it: a shared client, a pushed one."""
    who = name if record is None else record.parent or record.subject
    if who.startswith(SCHEME):
        try:
            return PolicySubject(Source.SPIFFE, EvidenceKind.X509_SVID, spiffe_id=SpiffeId.parse(who))
        except InvalidSpiffeId:
            return None
    if record is None:
        return None
    if record.kind is ClientKind.METADATA_DOCUMENT:
        return PolicySubject(Source.METADATA_DOCUMENT, EvidenceKind.METADATA_DOCUMENT, url=record.subject)
    if record.kind is ClientKind.STATEMENT:
        issuer, _, subject = record.subject.partition(" ")
        evidence = EvidenceKind.SOFTWARE_STATEMENT
        return PolicySubject(Source.SOFTWARE_STATEMENT, evidence, issuer=issuer, subject=subject)
    return None


def _could(policy: PolicySet, subject: PolicySubject | None) -> Sequence[Could]:
    """What the policies in force would give it, with every key proved. Not looked at: workloads that act for a
    document."""
    if subject is None:
        return ()
    found: dict[tuple[str, str, bool], set[str]] = defaultdict(set)
    vocabulary = VOCABULARIES[subject.source]
    kinds = vocabulary.evidence if subject.source is Source.SPIFFE else {subject.evidence}
    for kind in kinds:
        for door in vocabulary.doors:
            for grant_type in GRANTS_AT[door]:
                for decision in policy.offers(replace(subject, evidence=kind), door, grant_type):
                    if decision.effect is not Effect.DENY and decision.rule is not None:
                        for scope in decision.scopes:
                            found[scope, decision.rule, decision.effect is Effect.ASK].add(kind.value)
    home = policy.catalogue.home
    return [
        Could(scope, home.get(scope, ""), rule, asks, sorted(evidence))
        for (scope, rule, asks), evidence in sorted(found.items())
    ]
