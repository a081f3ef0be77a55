"""The decision: one subject, one ask, one answer. Pure, deterministic, and independent of any order."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from bridge.model.evidence import Door
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask, ClientChoice, Decision, Denial, Effect, Prospect, Replay, Standing, Terms
from bridge.policy.catalogue import Catalogue
from bridge.policy.cover import Cover, Offer, Shortfall, Stage, cover, missing_proof
from bridge.policy.explain import Explanation, explain
from bridge.policy.index import Index
from bridge.policy.pattern import address_of
from bridge.policy.rule import Rule
from bridge.policy.tally import Cut, Tally
from bridge.policy.terms import expand
from bridge.policy.vocabulary import AUTHORIZATION_CODE

_OWN = ClientChoice()
NAME_A_RESOURCE = "name a resource"


class PolicySet:
    """All rules of one version of the policy. Immutable; safe to share between threads."""

    def __init__(self, rules: Iterable[Rule], catalogue: Catalogue, version: str) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        self.catalogue = catalogue
        self.version = version
        self._index = Index(self.rules)
        self._taken = frozenset(rule.source for rule in self.rules if rule.denial is None)
        self.takes_plain_requests = any(_takes_plain_requests(rule) for rule in self.rules)
        """Whether any client could come to `/authorize` without having pushed its request."""

    def takes(self, source: Source) -> bool:
        """Whether any client of that source could get in."""
        return source in self._taken

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

    def decide(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision:
        """Answer the ask. `proved` are the keys the request proves; only the check of `bind` looks at it.

        A registration (`Door.REGISTER`) gets no token: `bind` is not checked there, and it need not name a
        resource. One that asks for several grant types is one ask for each.
        Never raises: an ask of nonsense is denied. Not checked: the record's state, tombstones and
        approvals, which are the store's, and that the subject is who it says, which is verification's.
        """
        tally = Tally.of(self._index.naming(subject), subject, ask)
        refusal = tally.refusal(Denial.IDENTITY) if tally.refusals else None
        if refusal is not None or not tally.granting or tally.refusals:
            return self._refused_before_terms(tally, refusal, subject, ask)
        cut = tally.cut
        if cut is not None and cut.resources:
            denied = self._denied_resource(cut, ask)
            if denied is not None:
                return self._no(tally, Denial.RESOURCE, Reason.POLICY_DENY_RULE, f"{denied.id} denies it", denied)
        shortfalls: list[Shortfall] = []
        named = ask.resources or ask.scopes or ask.door is Door.REGISTER
        torn = None if named else _torn_weights(tally)
        for entry in tally.granting:
            if torn and entry[0] in torn:
                return self._no(tally, Denial.RESOURCE, Reason.POLICY_RESOURCE, NAME_A_RESOURCE)
            rule = entry[3]
            left = rule.offer if cut is None else cut.left(rule.offer)
            covered = cover(rule.offer, left, ask, self.catalogue.home)
            if isinstance(covered, Cover):
                return self._granted(tally, rule, covered, subject, None if ask.door is Door.REGISTER else proved)
            shortfalls.append(covered)
        return self._uncovered(tally, shortfalls, ask)

    def offers(self, subject: PolicySubject, door: Door, grant_type: str) -> tuple[Decision, ...]:
        """All that there is for this subject at that door, whatever it would name and prove there: a decision
        for each rule that gives it anything, the heaviest first; or one refusal. For operators."""
        tally = Tally.of(self._index.naming(subject), subject, Ask(door, grant_type))
        anything = Ask(Door.REGISTER, grant_type)
        refusal = tally.refusal(Denial.IDENTITY)
        if not tally.granting or tally.refusals:
            return (self._refused_before_terms(tally, refusal, subject, anything),)
        found: dict[str, Decision] = {}
        shortfalls: list[Shortfall] = []
        for *_, rule in tally.granting:
            left = rule.offer if tally.cut is None else tally.cut.left(rule.offer)
            covered = cover(rule.offer, left, anything, self.catalogue.home)
            if isinstance(covered, Shortfall):
                shortfalls.append(covered)
            else:
                found.setdefault(rule.id, self._granted(tally, rule, covered, subject, None))
        return tuple(found.values()) or (self._uncovered(tally, shortfalls, anything),)

    def left(self, subject: PolicySubject, door: Door, grant_type: str) -> tuple[Offer, ...]:
        """What each rule that could answer there offers, scopes by resource, without what denies take; the heaviest
        first. None of it where a deny refuses everything. For comparing policies."""
        tally = Tally.of(self._index.naming(subject), subject, Ask(door, grant_type))
        if tally.refusals:
            return ()
        return tuple(rule.offer if tally.cut is None else tally.cut.left(rule.offer) for *_, rule in tally.granting)

    def standing(self, subject: PolicySubject) -> Standing:
        """How a caller stands who asks for no grant: at doors that only answer questions no rule has to
        allow anything, but denies and once-only credentials hold there as they do at `/token`."""
        ask = Ask(Door.TOKEN, "client_credentials")
        tally = Tally.of(self._index.naming(subject), subject, ask)
        refusal = tally.refusal(Denial.IDENTITY)
        once = any(rule.terms is not None and rule.terms.replay is Replay.ONCE for *_, rule in tally.admitted)
        return Standing(None if refusal is None else refusal.id, once)

    def admits(self, subject: PolicySubject, door: Door) -> Prospect:
        """Whether anybody wants this subject, whatever it will ask: what is known before its document is fetched
        (CIMD-24).

        Denies are those that hold at `door`. Rules that give something count whatever their door: a code is
        redeemed elsewhere than where it was asked for.
        """
        naming = self._index.naming(subject)
        refusal = Tally.of(naming, subject, Ask(door, "")).refusal(Denial.IDENTITY)
        if refusal is not None:
            return Prospect(Effect.DENY, self.version, refusal.id)
        effect = Effect.DENY
        for *_, rule in naming:
            if rule.denial is None and rule.allows_evidence(subject) and rule.admits_actor(subject):
                if rule.effect is Effect.ALLOW:
                    return Prospect(Effect.ALLOW, self.version)
                effect = Effect.ASK
        return Prospect(effect, self.version)

    def explain(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Explanation:
        """The decision that `decide` makes, and what every other rule of the source lacked. Slow: it looks
        at every rule."""
        decision = self.decide(subject, ask, proved=proved)
        effect = self.decide(subject, ask, proved=frozenset(BindingMethod)).effect
        tally = Tally.of(self._index.naming(subject), subject, ask)
        return explain(self.rules, self.catalogue, decision, effect, tally, subject, ask)

    def _granted(
        self,
        tally: Tally,
        rule: Rule,
        covered: Cover,
        subject: PolicySubject,
        proved: frozenset[BindingMethod] | None,
    ) -> Decision:
        """The rule's terms, unless the request lacks the key that they bind to. `proved` None: it gets nothing
        that could be bound."""
        terms = self._terms(rule, subject)
        missing = None if proved is None else missing_proof(terms.bind, subject, proved)
        return Decision(
            effect=rule.effect if missing is None else Effect.DENY,
            client=tally.client or _OWN,
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

    def _refused_before_terms(self, tally: Tally, refusal: Rule | None, subject: PolicySubject, ask: Ask) -> Decision:
        """The refusals that come before what is asked is looked at."""
        if refusal is not None:
            return self._no(tally, Denial.IDENTITY, Reason.POLICY_DENY_RULE, f"{refusal.id} denies it", refusal)
        if not tally.admitted:
            words = f"rules name it, but none for {subject.evidence} at the door {ask.door}"
            words = words if tally.known else self._nobody_names(subject)
            return self._no(tally, Denial.IDENTITY, Reason.POLICY_NO_RULE, words)
        refusal = tally.refusal(Denial.GRANT_TYPE)
        if refusal is not None:
            return self._no(tally, Denial.GRANT_TYPE, Reason.POLICY_DENY_RULE, f"{refusal.id} denies it", refusal)
        words = f"no rule gives it the grant type {ask.grant_type}"
        return self._no(tally, Denial.GRANT_TYPE, Reason.POLICY_GRANT_TYPE, words)

    def _nobody_names(self, subject: PolicySubject) -> str:
        if subject.source is Source.SPIFFE and subject.spiffe_id is not None:
            trust_domain = subject.spiffe_id.trust_domain.name
            if not self._index.has_rules_for(trust_domain):
                return f"no policy file has a rule for the trust domain {trust_domain}"
        return f"no rule of source {subject.source} names it"

    def _denied_resource(self, cut: Cut, ask: Ask) -> Rule | None:
        """The deny that takes a resource which the ask names, or means by its scopes."""
        home = self.catalogue.home
        wanted: Iterable[str] = ask.resources or (home[scope] for scope in ask.scopes if scope in home)
        return next((cut.resources[resource] for resource in wanted if resource in cut.resources), None)

    def _uncovered(self, tally: Tally, shortfalls: list[Shortfall], ask: Ask) -> Decision:
        """The refusal when no rule covers the ask: the kind and words of the rule that got farthest."""
        farthest = max(shortfalls, key=lambda shortfall: shortfall.stage)
        denial = farthest.denial
        deny = self._deny_behind(tally, farthest.stage, ask)
        if deny is not None:
            return self._no(tally, denial, Reason.POLICY_DENY_RULE, f"{deny.id} denies it", deny)
        if farthest.stage is Stage.UNNAMED:
            return self._no(tally, denial, Reason.POLICY_RESOURCE, f"{NAME_A_RESOURCE}: {farthest.because}")
        if denial is Denial.RESOURCE:
            words = f"no rule covers {' '.join(ask.resources) or 'what it asks'}"
            words = _not_in_catalogue("resource", ask.resources, self.catalogue.resources) or words
            return self._no(tally, denial, Reason.POLICY_RESOURCE, words)
        words = f"no one rule covers all of: {' '.join(ask.scopes) or 'nothing named, and nothing left'}"
        words = _not_in_catalogue("scope", ask.scopes, self.catalogue.home) or words
        return self._no(tally, denial, Reason.POLICY_SCOPE, words)

    @staticmethod
    def _deny_behind(tally: Tally, stage: Stage, ask: Ask) -> Rule | None:
        """The deny without which a rule would have had something to give: of a scope that was named, or,
        where nothing was, of what the rules offer."""
        cut = tally.cut
        if cut is None or stage is Stage.UNNAMED:
            return None
        if stage is Stage.SCOPE:
            offers = (item for entry in tally.granting for item in entry[3].offer.items())
            offered = (s for r, scopes in offers if not ask.resources or r in ask.resources for s in scopes)
            wanted: Iterable[str] = ask.scopes or offered
            return next((cut.scopes[scope] for scope in wanted if scope in cut.scopes), None)
        if ask.resources:
            return None
        return next((cut.resources[r] for e in tally.granting for r in e[3].offer if r in cut.resources), None)

    def _no(self, tally: Tally, denial: Denial, reason: Reason, because: str, rule: Rule | None = None) -> Decision:
        return Decision(
            effect=Effect.DENY,
            client=tally.client or _OWN,
            policy_version=self.version,
            rule=rule.id if rule is not None else None,
            denial=denial,
            reason=reason,
            because=because,
        )


def _not_in_catalogue(what: str, named: Iterable[str], known: Container[str]) -> str:
    """That the first of the names does not exist; empty when all do."""
    strange = next((name for name in named if name not in known), None)
    return "" if strange is None else f"the {what} {strange} is not in the catalogue"


def _takes_plain_requests(rule: Rule) -> bool:
    if rule.terms is None or rule.source is not Source.METADATA_DOCUMENT or rule.terms.require_par:
        return False
    is_its_door = rule.doors is None or Door.AUTHORIZE in rule.doors
    return is_its_door and AUTHORIZATION_CODE in rule.terms.grant_types


def _torn_weights(tally: Tally) -> set[int]:
    """The weights at which rules take an unnamed resource to be different ones.

    Such rules are no ambiguity as long as requests name what they want: their resources are disjoint.
    Denies are not looked at: taking one of the rules away must not make the request unambiguous. A rule
    has one weight, that of its heaviest pattern: where it is met again by a lighter one it says nothing.
    """
    meant: dict[int, str] = {}
    torn: set[int] = set()
    if len(tally.granting) < 2:
        return torn
    seen: set[str] = set()
    for weight, _, _, rule in tally.granting:
        if len(rule.offer) == 1 and rule.id not in seen:
            seen.add(rule.id)
            resource = next(iter(rule.offer))
            if meant.setdefault(weight, resource) != resource:
                torn.add(weight)
    return torn
