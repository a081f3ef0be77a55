"""Why a decision is as it is: the rule that decided, and for every other rule what kept it from doing so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.identity import PolicySubject, Source
from bridge.model.terms import Ask, Bind, ClientChoice, ClientMode, Decision, Denial, Effect
from bridge.policy.catalogue import Catalogue
from bridge.policy.cover import Shortfall, cover
from bridge.policy.nearness import Distance, distance
from bridge.policy.pattern import address_of
from bridge.policy.rule import Rule
from bridge.policy.tally import Tally


@dataclass(frozen=True, slots=True)
class Other:
    """A rule that did not decide, and the first of its conditions that did not hold. `reached` counts
    the conditions that did: the higher, the nearer the rule was."""

    rule: str
    because: str
    reached: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and its reasons. `decision` is what `decide` answers; `effect` is the answer when every
    key that can be proved is: where the two differ, the request only lacks the proof that `bind` wants.
    """

    decision: Decision
    effect: Effect
    others: tuple[Other, ...]

    @property
    def lacks_proof(self) -> bool:
        """Whether only a proof of a key is missing."""
        return self.decision.denial is Denial.PROOF

    @property
    def bind(self) -> Bind | None:
        """What the deciding rule binds tokens to; None on a refusal."""
        return self.decision.terms.bind if self.decision.terms is not None else None

    @property
    def token_ttl(self) -> int | None:
        """Seconds; None on a refusal."""
        return self.decision.terms.token_ttl if self.decision.terms is not None else None


def client_id_of(subject: PolicySubject, choice: ClientChoice) -> str | None:
    """The `client_id` as far as policy alone decides it; None where it is derived from more (a key, a
    statement). All pushed clients have the same."""
    if choice.mode is ClientMode.SHARED:
        return choice.shared_id
    if subject.source is Source.PUSHED:
        return PUSHED_CLIENT_ID
    if choice.mode is ClientMode.IDENTITY and subject.source in (Source.SPIFFE, Source.METADATA_DOCUMENT):
        return subject.name
    return None


def explain(
    rules: Iterable[Rule],
    catalogue: Catalogue,
    decision: Decision,
    effect: Effect,
    tally: Tally,
    subject: PolicySubject,
    ask: Ask,
) -> Explanation:
    """Put the reasons beside a decision, the nearest rule first. Looks at every rule: for people, not for the
    request path."""
    others: list[tuple[Distance, Other]] = []
    by_id: dict[str, Rule] = {}
    for rule in rules:
        by_id[rule.id] = rule
    decided = by_id.get(decision.rule) if decision.rule is not None else None
    for rule in by_id.values():
        if rule is decided or not _concerns(rule, subject):
            continue
        reached, because = _first_unmet(rule, subject, ask) or _held(rule, decided, decision, catalogue, tally, ask)
        if reached == _ALL and decided is not None and rule.denial is None and decided.denial is None:
            because = _outweighed(rule, decided, subject)
        far = distance(rule, reached, decision, catalogue, subject, ask)
        others.append((far, Other(rule.id, because, reached)))
    others.sort(key=lambda pair: pair[0])
    return Explanation(decision, effect, tuple(other for _, other in others))


# How many conditions there are: name, actor, evidence, door, grant type, resource or scope.
_ALL = 6


def _concerns(rule: Rule, subject: PolicySubject) -> bool:
    """The rules of the subject's source; and the denies that follow the SPIFFE ID acting for a document."""
    if rule.source is subject.source:
        return True
    return rule.denial is not None and rule.names(subject) is not None


def _first_unmet(rule: Rule, subject: PolicySubject, ask: Ask) -> tuple[int, str] | None:
    """The first condition of `when` (or `grant_types`) that does not hold, and how many did before it."""
    if rule.names(subject) is None:
        return 0, _name_words(rule, subject)
    if rule.source is Source.METADATA_DOCUMENT and not rule.admits_actor(subject):
        actor = f"{subject.spiffe_id} may not act for the document" if subject.spiffe_id else "no SPIFFE ID acts for it"
        return 1, actor
    if not rule.allows_evidence(subject):
        return 2, f"evidence is {subject.evidence}, the rule is about {_either(rule.evidence)}"
    if rule.doors is not None and ask.door not in rule.doors:
        return 3, f"the door is {ask.door}, the rule is about {_either(rule.doors)}"
    if rule.grant_types is not None and ask.grant_type not in rule.grant_types:
        return 4, f"the grant type is {ask.grant_type}, the rule is about {_either(rule.grant_types)}"
    return None


def _either(names: Iterable[str] | None) -> str:
    return " or ".join(sorted(str(name) for name in names or ()))


def _name_words(rule: Rule, subject: PolicySubject) -> str:
    address = address_of(subject)
    if address is None:
        return f"no pattern can match {subject.name or 'a subject without a name'}"
    if subject.source is Source.SPIFFE:
        spaces = {str(pattern.space) for pattern in rule.patterns}
        if address.space not in spaces:
            return f"the trust domain is {address.space}, the rule is about {_either(spaces)}"
        path = subject.spiffe_id.path if subject.spiffe_id is not None else ""
        return f"the path {path or '(none)'} does not match {_some(rule)}"
    if subject.source is Source.METADATA_DOCUMENT:
        return f"the url {subject.url} does not match {_some(rule)}"
    return f"the issuer and subject {subject.name} are not {_some(rule)}"


def _some(rule: Rule) -> str:
    texts = [pattern.text for pattern in rule.patterns]
    return ", ".join(texts[:3]) + (f" or {len(texts) - 3} more" if len(texts) > 3 else "")


def _held(
    rule: Rule, decided: Rule | None, decision: Decision, catalogue: Catalogue, tally: Tally, ask: Ask
) -> tuple[int, str]:
    """A rule all of whose conditions hold: what of the ask it does not meet, or who came before it."""
    if rule.denial in (Denial.SCOPE, Denial.RESOURCE):
        taken = " ".join(sorted(rule.scopes or rule.resources))
        if decided is not None and decided.denial is not None:
            return 5, f"it takes away {taken}, but '{decided.id}' comes first"
        return 5, f"it takes away {taken}, which is not what this answer turns on"
    if rule.denial is not None:
        words = (
            f"'{decided.id}' comes first" if decided is not None else "the request is refused before it is looked at"
        )
        return _ALL, f"it denies too, but {words}"
    left = rule.offer if tally.cut is None else tally.cut.left(rule.offer)
    covered = cover(rule.offer, left, ask, catalogue.home)
    if isinstance(covered, Shortfall):
        if not isinstance(cover(rule.offer, rule.offer, ask, catalogue.home), Shortfall):
            return 5, "it would cover the request, but denies take away what is asked"
        return 5, covered.because
    if decided is not None:
        return _ALL, f"all its conditions hold, but '{decided.id}' denies"
    return _ALL, f"all its conditions hold, but {decision.because}"


def _outweighed(rule: Rule, decided: Rule, subject: PolicySubject) -> str:
    mine, theirs = rule.names(subject), decided.names(subject)
    if mine is None or theirs is None or mine.weight == theirs.weight:
        return f"it covers the request with equal terms and weight; '{decided.id}' comes first by name"
    return f"it covers the request, but weighs {mine.weight}; '{decided.id}' weighs {theirs.weight}"
