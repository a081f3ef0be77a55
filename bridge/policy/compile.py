"""From a document to rules: what each value means, together with its source and with the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import Source
from bridge.model.spiffe_id import InvalidSpiffeId, TrustDomain
from bridge.model.terms import Denial, Effect, Terms
from bridge.policy.catalogue import Catalogue
from bridge.policy.document import (
    AnyRule,
    DocumentRule,
    DocumentWhen,
    Grant,
    PolicyFile,
    SpiffeFile,
    SpiffeRule,
    SpiffeWhen,
    StatementRule,
)
from bridge.policy.findings import Report, has_errors
from bridge.policy.pattern import (
    ANY_PATH,
    PUSHED_PATTERN,
    InvalidPattern,
    Pattern,
    any_path_pattern,
    is_broad,
    path_pattern,
    spiffe_id_pattern,
    statement_patterns,
    url_pattern,
)
from bridge.policy.rule import Rule
from bridge.policy.terms import Making, PolicyDefaults, client_of, terms_of
from bridge.policy.vocabulary import VOCABULARIES, Vocabulary

# A file name can hold 255 bytes; a trust domain of more than 200 may not fit with its suffix.
_LONG_NAME = 200
# Errors of a rule that means what it says all the same: what is found between it and others will still be so.
_AS_MEANT = frozenset({"broad"})


def compile_file(
    name: str,
    document: PolicyFile,
    catalogue: Catalogue,
    defaults: PolicyDefaults,
    report: Report,
    *,
    numbers: Sequence[int] | None = None,
) -> tuple[Rule, ...]:
    """The rules of one file, without those of whose meaning an error leaves doubt. Faults go to the report; with an
    error among them the result is good for nothing but finding more. `numbers`: where each rule stands in the file,
    if not one by one.

    Not checked: what needs all rules at once (ambiguity, dead rules) or other files (ids).
    """
    source = Source(document.source)
    trust_domain = _check_name(name, document, source, report)
    _check_known(trust_domain, defaults, report)
    rules: list[Rule] = []
    ids: dict[str, int] = {}
    written_rules: Sequence[AnyRule] = document.rule
    for number, written in zip(numbers or range(len(written_rules)), written_rules, strict=True):
        said = len(report.found)
        if written.id in ids:
            words = f"the id '{written.id}' is also that of rule {ids[written.id] + 1} of this file"
            report.error("duplicate-id", words, "rule", number, "id", rule=written.id)
        ids.setdefault(written.id, number)
        rule = _compile_rule(name, trust_domain, number, written, source, catalogue, defaults, report)
        if rule is not None and not has_errors(one for one in report.found[said:] if one.code not in _AS_MEANT):
            rules.append(rule)
    return tuple(rules)


def _check_name(name: str, document: PolicyFile, source: Source, report: Report) -> str:
    """The trust domain, and whether the file has the name its content asks for."""
    expected = VOCABULARIES[source].file
    trust_domain = ""
    if isinstance(document, SpiffeFile):
        trust_domain = document.trust_domain
        try:
            TrustDomain.parse(trust_domain)
        except InvalidSpiffeId as error:
            report.error("trust-domain", str(error), "trust_domain")
        expected = None if len(trust_domain) > _LONG_NAME else f"{trust_domain}.toml"
    if expected is not None and name != expected:
        where = "trust_domain" if source is Source.SPIFFE else "source"
        report.error("file-name", f"a file with this content is called {expected}", where)
    return trust_domain


def _check_known(trust_domain: str, defaults: PolicyDefaults, report: Report) -> None:
    known = defaults.trust_domains
    if trust_domain and known is not None and trust_domain not in known:
        words = f'no rule here can be reached: [trust_domains."{trust_domain}"] is not configured'
        report.warning("unreachable", words, "trust_domain")


def _compile_rule(
    name: str,
    trust_domain: str,
    number: int,
    written: AnyRule,
    source: Source,
    catalogue: Catalogue,
    defaults: PolicyDefaults,
    report: Report,
) -> Rule | None:
    """One rule, or None when too much of it is wrong to say more."""
    vocabulary = VOCABULARIES[source]
    patterns = _patterns(written, number, trust_domain, source, report)
    _check_issuers(written, number, defaults, report)
    evidence = _evidence(written, number, vocabulary, source, report)
    making = Making(report, number, written, source, vocabulary, evidence or vocabulary.evidence, patterns)
    doors = _doors(making)
    actors = _actors(making)
    if written.effect == "deny":
        return _deny(name, making, catalogue, evidence, doors, actors)
    grant = written.grant
    if written.effect == "ask" and not vocabulary.asks:
        making.error("ask", f"clients of source {source} end with their transaction: nobody can approve them", "effect")
    for key in ("scope", "resource"):
        if getattr(written.when, key) is not None:
            making.error("deny-only", f"'{key}' in when is for denies; what a rule gives stands in grant", "when", key)
    if grant is None:
        making.error("missing-grant", f"an {written.effect} rule says in 'grant' what it gives")
        return None
    offer = _offer(making, grant, catalogue)
    grant_types = _grant_types(making, grant)
    terms = terms_of(making, grant, grant_types, defaults)
    return Rule(
        id=written.id,
        file=name,
        number=number,
        source=source,
        effect=Effect(written.effect),
        patterns=patterns,
        evidence=evidence or vocabulary.evidence,
        doors=doors or vocabulary.doors,
        grant_types=grant_types,
        actors=actors,
        terms=terms,
        offer=offer,
        client=client_of(making, grant),
        templated=_is_templated(terms),
        why=written.why,
    )


def _is_templated(terms: Terms) -> bool:
    return any("{" in uri for uri in terms.redirect_uris)


def _deny(
    name: str,
    making: Making,
    catalogue: Catalogue,
    evidence: frozenset[EvidenceKind] | None,
    doors: frozenset[Door] | None,
    actors: tuple[Pattern, ...] | None,
) -> Rule:
    when = making.rule.when
    if making.rule.grant is not None:
        making.error("deny-grants", "a deny has no 'grant'", "grant")
    scopes, resources = frozenset(when.scope or ()), frozenset(when.resource or ())
    for scope in sorted(scopes - catalogue.home.keys()):
        making.error("unknown-scope", _unknown("scope", scope, catalogue.home, making), "when", "scope")
    for resource in sorted(resources - catalogue.resources.keys()):
        words = _unknown("resource", resource, catalogue.resources, making)
        making.error("unknown-resource", words, "when", "resource")
    if scopes and resources:
        for scope in sorted(s for s in scopes if catalogue.home.get(s) not in {None, *resources}):
            words = f"'{scope}' belongs to {catalogue.home[scope]}, so it never meets the resources beside it"
            making.error("scope-elsewhere", words, "when", "scope")
    grant_types = frozenset(when.grant_type) if when.grant_type is not None else None
    if grant_types is not None:
        _check_grant_types(making, grant_types, "when", "grant_type")
    return Rule(
        id=making.rule.id,
        file=name,
        number=making.number,
        source=making.source,
        effect=Effect.DENY,
        patterns=making.patterns,
        evidence=evidence,
        doors=doors,
        grant_types=grant_types,
        actors=actors,
        denial=_denial(scopes, resources, grant_types),
        scopes=scopes,
        # Beside scopes the resources add nothing: each scope belongs to one of them.
        resources=frozenset() if scopes else resources,
        why=making.rule.why,
    )


def _denial(scopes: frozenset[str], resources: frozenset[str], grant_types: frozenset[str] | None) -> Denial:
    """Which answer a deny gives: by what it is about (interface section 3)."""
    if scopes:
        return Denial.SCOPE
    if resources:
        return Denial.RESOURCE
    return Denial.IDENTITY if grant_types is None else Denial.GRANT_TYPE


def _patterns(written: AnyRule, number: int, trust_domain: str, source: Source, report: Report) -> tuple[Pattern, ...]:
    """Whom the rule is about. What is no pattern, and what reaches too far unsaid, goes to the report."""
    place = {Source.SPIFFE: "path", Source.METADATA_DOCUMENT: "url"}.get(source, "issuer")
    found: list[Pattern] = []
    for text in _texts(written):
        try:
            found.append(url_pattern(text) if isinstance(written, DocumentRule) else path_pattern(text, trust_domain))
        except InvalidPattern as error:
            report.error("pattern", f"'{text}': {error}", "rule", number, "when", place, rule=written.id)
    if isinstance(written, SpiffeRule):
        if written.when.any_path:
            found.append(any_path_pattern(trust_domain))
        if written.when.any_path == (written.when.path is not None):
            words = "a rule about workloads has 'path', or any_path = true, and not both"
            report.error("path", words, "rule", number, "when", rule=written.id)
    elif isinstance(written, StatementRule):
        found += statement_patterns(written.when.issuer, written.when.subject)
        if any(issuer.startswith("spiffe://") for issuer in written.when.issuer):
            words = "statements of a trust domain are SVIDs: their rules stand in the trust domain's own file"
            report.error("issuer", words, "rule", number, "when", "issuer", rule=written.id)
        if any(subject.startswith("spiffe://") for subject in written.when.subject or ()):
            words = "a statement that is no SVID may not state a SPIFFE ID: no request has this subject"
            report.error("subject", words, "rule", number, "when", "subject", rule=written.id)
    elif not isinstance(written, DocumentRule):
        found.append(PUSHED_PATTERN)
    broad = next((pattern for pattern in found if is_broad(pattern, source)), None)
    if broad is not None and not written.broad:
        words = f"{_breadth(broad, source)}; if that is meant, say broad = true"
        report.error("broad", words, "rule", number, "when", place, rule=written.id)
    if broad is None and written.broad and found:
        words = "broad = true without a pattern that needs it would hide the next one that does"
        report.warning("needless-broad", words, "rule", number, "broad", rule=written.id)
    return tuple(found)


def _check_issuers(written: AnyRule, number: int, defaults: PolicyDefaults, report: Report) -> None:
    known = defaults.statement_issuers
    if known is None or not isinstance(written, StatementRule):
        return
    for issuer in written.when.issuer:
        if issuer not in known:
            words = f'no statement of {issuer} reaches this rule: [statement_issuers."{issuer}"] is not configured'
            report.warning("unreachable", words, "rule", number, "when", "issuer", rule=written.id)


def _breadth(pattern: Pattern, source: Source) -> str:
    """How far a pattern reaches that `is_broad`."""
    if source is Source.METADATA_DOCUMENT:
        return f"'{pattern.text}' has a wildcard among its two highest host labels"
    if pattern.text == ANY_PATH:
        return f"any_path reaches every workload of {pattern.space}"
    return f"'{pattern.text}' has a wildcard as its first segment"


def _texts(written: AnyRule) -> Iterable[str]:
    if isinstance(written.when, SpiffeWhen):
        return written.when.path or ()
    return written.when.url if isinstance(written.when, DocumentWhen) else ()


def _evidence(
    written: AnyRule, number: int, vocabulary: Vocabulary, source: Source, report: Report
) -> frozenset[EvidenceKind] | None:
    if written.when.evidence is None:
        return None
    evidence = frozenset(EvidenceKind(kind) for kind in written.when.evidence)
    where: tuple[str | int, ...] = ("rule", number, "when", "evidence")
    if EvidenceKind.WIT_SVID in evidence:
        report.error("not-built", "wit-svid is not in this version", *where, rule=written.id)
    for kind in sorted(evidence - vocabulary.evidence - {EvidenceKind.WIT_SVID}):
        words = f"{kind} is never evidence of source {source}; it is {_either(vocabulary.evidence)}"
        report.error("evidence", words, *where, rule=written.id)
    return evidence


def _doors(making: Making) -> frozenset[Door] | None:
    if making.rule.when.door is None:
        return None
    doors = frozenset(Door(door) for door in making.rule.when.door)
    for door in sorted(doors - making.vocabulary.doors):
        words = f"{door} is no door of source {making.source}; it is {_either(making.vocabulary.doors)}"
        making.error("door", words, "when", "door")
    return doors


def _actors(making: Making) -> tuple[Pattern, ...] | None:
    when = making.rule.when
    if not isinstance(when, DocumentWhen) or when.spiffe_id is None:
        return None
    found: list[Pattern] = []
    for text in when.spiffe_id:
        try:
            found.append(spiffe_id_pattern(text))
        except InvalidPattern as error:
            making.error("pattern", f"'{text}': {error}", "when", "spiffe_id")
    return tuple(found)


def _grant_types(making: Making, grant: Grant) -> frozenset[str]:
    """What the rule grants, narrowed by the grant types it is about."""
    given = grant.grant_types if grant.grant_types is not None else making.vocabulary.default_grant_types
    granted = frozenset[str](given)
    _check_grant_types(making, granted, "grant", "grant_types")
    if making.rule.when.grant_type is None:
        return granted
    left = granted & frozenset[str](making.rule.when.grant_type)
    if not left:
        words = f"the rule is about grant types it does not grant; grant_types is {_either(granted)}"
        making.error("grant-type", words, "when", "grant_type")
    return left


def _check_grant_types(making: Making, grant_types: frozenset[str], *where: str) -> None:
    for grant_type in sorted(grant_types - making.vocabulary.grant_types):
        words = f"clients of source {making.source} never use {grant_type}"
        making.error("grant-type", words, *where)


def _offer(making: Making, grant: Grant, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """The rule's scopes by resource. Both must exist, and every scope must belong to a resource here."""
    offer: dict[str, list[str]] = {resource: [] for resource in sorted(set(grant.resources))}
    for resource in offer:
        if resource not in catalogue.resources:
            words = _unknown("resource", resource, catalogue.resources, making)
            making.error("unknown-resource", words, "grant", "resources")
    for scope in sorted(set(grant.scopes)):
        home = catalogue.home.get(scope)
        if home is None:
            making.error("unknown-scope", _unknown("scope", scope, catalogue.home, making), "grant", "scopes")
        elif home not in offer:
            words = f"the scope '{scope}' belongs to {home}, which is not among the rule's resources"
            making.error("scope-elsewhere", words, "grant", "scopes")
        else:
            offer[home].append(scope)
    if all(catalogue.home.get(scope) in offer for scope in grant.scopes):
        for resource in (resource for resource, scopes in offer.items() if not scopes):
            words = f"the rule has no scope of {resource}: a token for it alone is always refused"
            making.warning("resource-without-scope", words, "grant", "resources")
    return {resource: tuple(scopes) for resource, scopes in offer.items()}


def _unknown(what: str, name: str, known: Collection[str], making: Making) -> str:
    return f"the {what} '{name}' is not in the catalogue{making.report.hint(name, known)}"


def _either(names: Iterable[str]) -> str:
    return ", ".join(sorted(str(name) for name in names))
