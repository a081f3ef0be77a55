"""The policies in force: who may have what, by which rule and why; since when, and who used it; and a form to try."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from bridge.console.explained import explain_request
from bridge.console.idle_rules import RuleBook
from bridge.console.matrix import Matrices, Matrix
from bridge.console.section import Desk, Glance, Route, Section, Standing
from bridge.console.services import ConsoleServices
from bridge.console.since import Histories
from bridge.console.trying import DOORS, EVIDENCE, GRANT_TYPES, PROVED, fields_of, tried_request
from bridge.console.uses import UseBook
from bridge.console.visits import Visit
from bridge.grants.form import Form
from bridge.policy.cases import BadRequest
from bridge.web.lean import Response

PATH, RESOURCE, SCOPE, TRY = "/policy", "/policy/resource", "/policy/scope", "/policy/try"
# Lines of one resource beside others, and lines of a page.
FEW, PAGE = 12, 100
# Resources whose lines stand on the first page; a catalogue with more is a list of links.
MATRICES = 10
_NAMED = 3


def link_to_scope(scope: str) -> str:
    """The page of one scope."""
    return f"{SCOPE}?{urlencode({'scope': scope})}"


def glance(services: ConsoleServices, now: int) -> Glance:
    """The policies in one line."""
    policies = services.policies
    if policies.is_faulty:
        files = list(policies.faulty_files)
        more = [f"{file}: run `bridge policy check`" for file in files[:_NAMED]]
        return Glance(Standing.WRONG, "files with errors are not in force; their last good versions are", more)
    policy = policies.current
    words = f"{len(policy.rules)} rules for {len(policy.catalogue.home)} scopes, version {policy.version[:12]}"
    if policies.findings:
        return Glance(Standing.LOOK, f"{words}; {len(policies.findings)} warnings")
    return Glance(Standing.FINE, words)


class PolicyPages:
    """The pages of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._services = desk, desk.services
        self._matrices, self._histories = Matrices(), Histories(desk.services.store.audit)
        self._uses = UseBook(desk.services.store.audit)
        self._rule_book = RuleBook(desk.services.store.audit)

    def whole(self, visit: Visit) -> Response:
        """GET: every resource with its scopes, and of a few the matrix."""
        matrix, policy = self._matrix(), self._services.policies.current
        resources = [
            {
                "uri": uri,
                "words": policy.catalogue.words.get(uri, ""),
                "scopes": [(scope, link_to_scope(scope), policy.catalogue.words.get(scope, "")) for scope in scopes],
                "columns": [(scope, link_to_scope(scope)) for scope in scopes],
                "lines": matrix.lines(uri)[:FEW] if at < MATRICES else [],
                "number": matrix.number(uri),
                "link": f"{RESOURCE}?{urlencode({'name': uri})}",
            }
            for at, (uri, scopes) in enumerate(sorted(policy.catalogue.resources.items()))
        ]
        return self._desk.show(
            visit,
            "policy.html",
            resources=resources,
            policy=policy,
            findings=self._services.policies.findings,
            idle=self._rule_book.idle(policy.rules),
        )

    def resource(self, visit: Visit) -> Response:
        """GET: the whole matrix of one resource, in pages; `with` is a part of a pattern."""
        query = visit.query()
        uri, part, skip = query.require("name"), query.get("with") or "", _number(query)
        policy = self._services.policies.current
        lines = self._matrix().lines(uri, part)
        onward = urlencode({"name": uri, "with": part, "skip": skip + PAGE})
        return self._desk.show(
            visit,
            "policy_resource.html",
            status=200 if uri in policy.catalogue.resources else 404,
            uri=uri,
            words=policy.catalogue.words.get(uri, ""),
            scopes=[(scope, link_to_scope(scope)) for scope in policy.catalogue.resources.get(uri, ())],
            lines=lines[skip : skip + PAGE],
            number=len(lines),
            part=part,
            onward=f"{RESOURCE}?{onward}" if len(lines) > skip + PAGE else None,
        )

    def scope(self, visit: Visit) -> Response:
        """GET: who can get a scope, since when, and who used it in the last day."""
        query = visit.query()
        scope, part, skip = query.require("scope"), query.get("with") or "", _number(query)
        policy = self._services.policies.current
        having = self._matrix().having(scope, part)
        history = self._histories.now()
        uses = self._uses.of(scope, now=visit.now)
        lines = [
            (who, given, history.since(who.pattern, scope, version=policy.version))
            for who, given in having[skip : skip + PAGE]
        ]
        onward = urlencode({"scope": scope, "with": part, "skip": skip + PAGE})
        return self._desk.show(
            visit,
            "policy_scope.html",
            status=200 if scope in policy.catalogue.home else 404,
            scope=scope,
            resource=policy.catalogue.home.get(scope),
            words=policy.catalogue.words.get(scope, ""),
            lines=lines,
            number=len(having),
            part=part,
            onward=f"{SCOPE}?{onward}" if len(having) > skip + PAGE else None,
            uses=uses,
            here=link_to_scope(scope),
        )

    def attempt(self, visit: Visit) -> Response:
        """GET: decide a request that nobody made, and say why."""
        query = visit.query()
        fields = fields_of(query)
        explained, fault = None, ""
        if any(fields.values()):
            try:
                explained = explain_request(tried_request(fields), self._services.policies.current)
            except BadRequest as error:
                fault = str(error)
        return self._desk.show(
            visit,
            "policy_try.html",
            fields=fields,
            explained=explained,
            fault=fault,
            choices={"evidence": EVIDENCE, "door": DOORS, "grant_type": GRANT_TYPES, "proved": PROVED},
            scopes=self._services.policies.current.scopes(),
            resources=sorted(self._services.policies.current.catalogue.resources),
        )

    def _matrix(self) -> Matrix:
        return self._matrices.of(self._services.policies.current)


def _number(query: Form) -> int:
    """How many lines to pass over; none for what is no number."""
    text = query.get("skip") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _routes(desk: Desk) -> Sequence[Route]:
    own = PolicyPages(desk)
    return (
        Route(PATH, "console_policy", {"GET": own.whole}),
        Route(RESOURCE, "console_policy_resource", {"GET": own.resource}),
        Route(SCOPE, "console_policy_scope", {"GET": own.scope}),
        Route(TRY, "console_policy_try", {"GET": own.attempt}),
    )


SECTION = Section("Policy", PATH, _routes, glance)
