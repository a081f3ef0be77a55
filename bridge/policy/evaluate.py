"""The decision: one subject, one ask, one answer. Pure, deterministic, and independent of any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from bridge.model.evidence import EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask, Bind, ClientChoice, Decision, Denial, Effect, Terms
from bridge.policy.catalogue import Catalogue
from bridge.policy.index import Entry, Index
from bridge.policy.pattern import address_of
from bridge.policy.rule import Rule
from bridge.policy.terms import expand
from bridge.policy.vocabulary import provable

_OWN = ClientChoice()
_NAME_A_RESOURCE = "name a resource"


class Stage(IntEnum):
    """How far a rule that does not cover an ask got; the farthest one gives the refusal its kind.

    A wrong resource is reported before a wrong scope. Where only the name of a resource is missing,
    that helps most to know.
    """

    RESOURCE = 1
    SCOPE = 2
    UNNAMED = 3


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a rule does not cover an ask."""

    stage: Stage
    because: str

    @property
    def denial(self) -> Denial:
        """The kind of no that follows."""
        return Denial.SCOPE if self.stage is Stage.SCOPE else Denial.RESOURCE


@dataclass(frozen=True, slots=True)
class Cover:
    """What a rule gives to an ask that it covers: `scopes` sorted, `resources` as asked."""

    scopes: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(slots=True)
class Cut:
    """What denies take out of every rule, each with the deny that does."""

    scopes: dict[str, Rule] = field(default_factory=dict)
    resources: dict[str, Rule] = field(default_factory=dict)

    def left(self, offer: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """What remains of a rule's offer."""
        return {
            resource: tuple(scope for scope in scopes if scope not in self.scopes)
            for resource, scopes in offer.items()
            if resource not in self.resources
        }


def cover(offer: Mapping[str, tuple[str, ...]], ask: Ask, home: Mapping[str, str]) -> Cover | Shortfall:
    """Whether one rule's offer covers all of the ask, and what it gives then (interface section 3).

    `home` is the catalogue's resource of each scope. A scope that belongs to no resource in the
    audience is not covered: a token must not carry it to somebody who reads it differently.
    """
    if ask.resources:
        audience = ask.resources if len(ask.resources) == 1 else tuple(dict.fromkeys(ask.resources))
        for resource in audience:
            if resource not in offer:
                return Shortfall(Stage.RESOURCE, f"it does not give the resource {resource}")
    elif ask.scopes:
        return _cover_scopes(offer, ask, home)
    elif len(offer) == 1:
        audience = tuple(offer)
    elif offer:
        return Shortfall(Stage.UNNAMED, f"it gives {len(offer)} resources and the request names none")
    else:
        return Shortfall(Stage.RESOURCE, "denies leave it no resource")
    if not ask.scopes:
        scopes = offer[audience[0]] if len(audience) == 1 else tuple(sorted({s for r in audience for s in offer[r]}))
        return Cover(scopes, audience) if scopes else Shortfall(Stage.SCOPE, "no scope of the resource is left in it")
    for scope in ask.scopes:
        if not any(scope in offer[resource] for resource in audience):
            return Shortfall(Stage.SCOPE, f"it does not give the scope {scope} for {' '.join(audience)}")
    return Cover(_in_order(ask.scopes), audience)


def _cover_scopes(offer: Mapping[str, tuple[str, ...]], ask: Ask, home: Mapping[str, str]) -> Cover | Shortfall:
    """As `cover`, for an ask that names scopes and no resource: theirs is meant, if it is one."""
    audience = set()
    for scope in ask.scopes:
        resource = home.get(scope)
        if resource is None or scope not in offer.get(resource, ()):
            return Shortfall(Stage.SCOPE, f"it does not give the scope {scope}")
        audience.add(resource)
    if len(audience) > 1:
        return Shortfall(Stage.UNNAMED, "the scopes belong to several resources and the request names none")
    return Cover(_in_order(ask.scopes), tuple(audience))


def _in_order(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return scopes if len(scopes) == 1 else tuple(sorted(set(scopes)))


@dataclass(slots=True)
class Reading:
    """What the rules say about one ask, gathered in one pass over those that name the subject.

    `admitted`: rules whose evidence, door and actor hold. `granting`: those among them with the grant
    type. Both heaviest first. `refusals`: denies of the whole request. `cut`: what others take away.
    """

    client: ClientChoice | None = None
    known: bool = False
    admitted: list[Entry] = field(default_factory=list)
    granting: list[Entry] = field(default_factory=list)
    refusals: list[Rule] = field(default_factory=list)
    cut: Cut | None = None

    @classmethod
    def of(cls, entries: Iterable[Entry], subject: PolicySubject, ask: Ask) -> Reading:
        """Read the entries, which come heaviest first."""
        reading = cls()
        for entry in entries:
            rule = entry[3]
            if rule.denial is not None:
                if rule.applies(subject, ask):
                    reading._deny(rule)
                continue
            reading.known = True
            if reading.client is None and rule.client is not None:
                reading.client = rule.client
            if rule.knows(subject, ask):
                reading.admitted.append(entry)
                if rule.grant_types is not None and ask.grant_type in rule.grant_types:
                    reading.granting.append(entry)
        return reading

    def _deny(self, rule: Rule) -> None:
        if rule.denial in (Denial.IDENTITY, Denial.GRANT_TYPE):
            self.refusals.append(rule)
            return
        if self.cut is None:
            self.cut = Cut()
        for scope in rule.scopes:
            self.cut.scopes.setdefault(scope, rule)
        for resource in rule.resources:
            self.cut.resources.setdefault(resource, rule)

    def refusal(self, kind: Denial) -> Rule | None:
        """The heaviest deny of that kind."""
        return next((rule for rule in self.refusals if rule.denial is kind), None)


class PolicySet:
    """All rules of one version of the policy. Immutable; safe to share between threads."""

    def __init__(self, rules: Iterable[Rule], catalogue: Catalogue, version: str) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        self.catalogue = catalogue
        self.version = version
        self._index = Index(self.rules)

    def scopes(self) -> tuple[str, ...]:
        """All scopes of the catalogue, sorted (`scopes_supported`)."""
        return tuple(sorted(self.catalogue.home))

    def may_introspect(self, resource: str, spiffe_id: SpiffeId) -> bool:
        """Whether the resource names this identity in `introspect_by`."""
        return self.catalogue.may_introspect(resource, spiffe_id)

    def client_for(self, subject: PolicySubject) -> ClientChoice | None:
        """The client of the identity, whatever it asks; None when no allow or ask rule names it.

        Not looked at: evidence, doors and denies. Whose client it is does not depend on the request.
        """
        choice: ClientChoice | None = None
        for entry in self._index.naming(subject):
            if entry[3].denial is None:
                if entry[3].client is not None:
                    return entry[3].client
                choice = _OWN
        return choice

    def read(self, subject: PolicySubject, ask: Ask) -> Reading:
        """What the rules say about the ask, before an answer is made of it."""
        return Reading.of(self._index.naming(subject), subject, ask)

    def decide(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision:
        """Answer the ask. `proved` are the keys the request proves; only the check of `bind` looks at it.

        Never raises: an ask of nonsense is denied. Not checked: the record's state, tombstones and
        approvals, which are the store's, and that the subject is who it says, which is verification's.
        """
        reading = self.read(subject, ask)
        refusal = reading.refusal(Denial.IDENTITY) if reading.refusals else None
        if refusal is not None or not reading.granting or reading.refusals:
            return self._refused_before_terms(reading, refusal, subject, ask)
        cut = reading.cut
        if cut is not None and cut.resources:
            denied = self._denied_resource(cut, ask)
            if denied is not None:
                return self._no(reading, Denial.RESOURCE, Reason.POLICY_DENY_RULE, f"{denied.id} denies it", denied)
        shortfalls: list[Shortfall] = []
        for position, entry in enumerate(reading.granting):
            rule = entry[3]
            covered = cover(rule.offer if cut is None else cut.left(rule.offer), ask, self.catalogue.home)
            if isinstance(covered, Shortfall):
                shortfalls.append(covered)
                continue
            if not ask.resources and not ask.scopes and self._is_torn(reading, position, covered, ask):
                return self._no(reading, Denial.RESOURCE, Reason.POLICY_RESOURCE, _NAME_A_RESOURCE)
            return self._granted(reading, rule, covered, subject, proved)
        return self._uncovered(reading, shortfalls, ask)

    def _granted(
        self,
        reading: Reading,
        rule: Rule,
        covered: Cover,
        subject: PolicySubject,
        proved: frozenset[BindingMethod],
    ) -> Decision:
        """The rule's terms, unless the request lacks the key that they bind to."""
        terms = self._terms(rule, subject)
        missing = missing_proof(terms.bind, subject, proved)
        return Decision(
            effect=rule.effect if missing is None else Effect.DENY,
            client=reading.client or _OWN,
            policy_version=self.version,
            rule=rule.id,
            terms=terms,
            scopes=covered.scopes,
            resources=covered.resources,
            denial=None if missing is None else Denial.PROOF,
            reason=None if missing is None else Reason.POLICY_PROOF,
            because=missing or "",
        )

    @staticmethod
    def _terms(rule: Rule, subject: PolicySubject) -> Terms:
        terms = rule.terms
        assert terms is not None, "only denies have no terms"
        if not rule.templated:
            return terms
        address = address_of(subject)
        pattern = rule.entry(address) if address is not None else None
        assert address is not None, "the index found the rule by this address"
        assert pattern is not None, "the index found the rule by one of its patterns"
        return replace(terms, redirect_uris=expand(terms.redirect_uris, pattern.captures(address)))

    def _is_torn(self, reading: Reading, position: int, covered: Cover, ask: Ask) -> bool:
        """Whether a rule of the same weight would take the unnamed resource to be another one. Such
        rules are no ambiguity as long as requests name what they want (their resources are disjoint)."""
        weight = reading.granting[position][0]
        for entry in reading.granting[position + 1 :]:
            if entry[0] != weight:
                return False
            offer = entry[3].offer if reading.cut is None else reading.cut.left(entry[3].offer)
            other = cover(offer, ask, self.catalogue.home)
            if isinstance(other, Cover) and other.resources != covered.resources:
                return True
        return False

    def _refused_before_terms(
        self, reading: Reading, refusal: Rule | None, subject: PolicySubject, ask: Ask
    ) -> Decision:
        """The refusals that come before what is asked is looked at."""
        if refusal is not None:
            return self._no(reading, Denial.IDENTITY, Reason.POLICY_DENY_RULE, f"{refusal.id} denies it", refusal)
        if not reading.admitted:
            words = f"rules name it, but none for {subject.evidence} at the door {ask.door}"
            words = words if reading.known else f"no rule of source {subject.source} names it"
            return self._no(reading, Denial.IDENTITY, Reason.POLICY_NO_RULE, words)
        refusal = reading.refusal(Denial.GRANT_TYPE)
        if refusal is not None:
            return self._no(reading, Denial.GRANT_TYPE, Reason.POLICY_DENY_RULE, f"{refusal.id} denies it", refusal)
        words = f"no rule gives it the grant type {ask.grant_type}"
        return self._no(reading, Denial.GRANT_TYPE, Reason.POLICY_GRANT_TYPE, words)

    def _denied_resource(self, cut: Cut, ask: Ask) -> Rule | None:
        """The deny that takes a resource which the ask names, or means by its scopes."""
        home = self.catalogue.home
        wanted: Iterable[str] = ask.resources or (home[scope] for scope in ask.scopes if scope in home)
        return next((cut.resources[resource] for resource in wanted if resource in cut.resources), None)

    def _uncovered(self, reading: Reading, shortfalls: list[Shortfall], ask: Ask) -> Decision:
        """The refusal when no rule covers the ask: the kind and words of the rule that got farthest."""
        farthest = max(shortfalls, key=lambda shortfall: shortfall.stage)
        denial = farthest.denial
        deny = self._deny_behind(reading, farthest.stage, ask)
        if deny is not None:
            return self._no(reading, denial, Reason.POLICY_DENY_RULE, f"{deny.id} denies it", deny)
        if farthest.stage is Stage.UNNAMED:
            return self._no(reading, denial, Reason.POLICY_RESOURCE, f"{_NAME_A_RESOURCE}: {farthest.because}")
        if denial is Denial.RESOURCE:
            words = f"no rule covers {' '.join(ask.resources) or 'what it asks'}"
            return self._no(reading, denial, Reason.POLICY_RESOURCE, words)
        words = f"no one rule covers all of: {' '.join(ask.scopes) or 'nothing named, and nothing left'}"
        return self._no(reading, denial, Reason.POLICY_SCOPE, words)

    @staticmethod
    def _deny_behind(reading: Reading, stage: Stage, ask: Ask) -> Rule | None:
        """The deny without which a rule would have had something to give: of a scope that was named, or,
        where nothing was, of what the rules offer."""
        cut = reading.cut
        if cut is None or stage is Stage.UNNAMED:
            return None
        if stage is Stage.SCOPE:
            offered = (s for e in reading.granting for scopes in e[3].offer.values() for s in scopes)
            wanted: Iterable[str] = ask.scopes or offered
            return next((cut.scopes[scope] for scope in wanted if scope in cut.scopes), None)
        if ask.resources:
            return None
        return next((cut.resources[r] for e in reading.granting for r in e[3].offer if r in cut.resources), None)

    def _no(self, reading: Reading, denial: Denial, reason: Reason, because: str, rule: Rule | None = None) -> Decision:
        return Decision(
            effect=Effect.DENY,
            client=reading.client or _OWN,
            policy_version=self.version,
            rule=rule.id if rule is not None else None,
            denial=denial,
            reason=reason,
            because=because,
        )


_CERTIFICATE = "authenticate with an X.509-SVID over mutual TLS"
_DPOP = "send a DPoP proof"


def missing_proof(bind: Bind, subject: PolicySubject, proved: frozenset[BindingMethod]) -> str | None:
    """What to send so that `bind` can be met; None when it is. The words may go to the client."""
    if bind is Bind.IF_PRESENT or bind is Bind.NONE:
        return None
    if bind is Bind.JKT:
        return None if BindingMethod.JKT in proved else f"the token must be bound to a key: {_DPOP}"
    if bind is Bind.X5T_S256:
        if BindingMethod.X5T_S256 in proved:
            return None
        return f"the token must be bound to the certificate's key: {_CERTIFICATE}"
    if proved & provable(subject.source, subject.evidence):
        return None
    both = subject.source is Source.SPIFFE and subject.evidence is not EvidenceKind.X509_SVID
    return f"the token must be bound to a key: {_DPOP}{f', or {_CERTIFICATE}' if both else ''}"
