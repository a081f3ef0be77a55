"""`/token`, `/par`, `/introspect`, `/revoke`: parse once, call one thing, render."""

from __future__ import annotations

import json
from typing import TypeVar

from flask import Request, request
from werkzeug.exceptions import UnsupportedMediaType

from bridge.grants.form import Form
from bridge.grants.granter import IssuedToken
from bridge.grants.promise import PromisedToken
from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.errors import GrantNotAllowed
from bridge.model.evidence import Door, Presented, RequestContext
from bridge.model.reasons import Reason
from bridge.model.terms import Ask
from bridge.web.boundary import REQUEST_ID, Boundary
from bridge.web.errors import NO_STORE
from bridge.web.forms import FORM_TYPE, parse_form, parse_token_ask
from bridge.web.held import HeldResponse, TokenHold
from bridge.web.lean import Response
from bridge.web.metadata import CODE_GRANT_TYPES, GRANT_TYPES
from bridge.web.present import listener_asked, present
from bridge.web.services import INTROSPECT, PAR, REVOKE, TOKEN, Services

R = TypeVar("R", bound=Response)


class TokenEndpoints:
    """The endpoints at which clients authenticate."""

    def __init__(self, services: Services, boundary: Boundary) -> None:
        self._services, self._boundary = services, boundary

    def token(self) -> Response:
        """RFC 6749 section 3.2. A workload's first call here also registers it."""
        form, presented, context = self._open(TOKEN, Door.TOKEN)
        ask = self._ask(form)
        promise = self._promise(presented, form, ask, context)
        nonce = self._services.fresh_nonce(context.now)
        held = _wire(HeldResponse, promise.token, nonce)
        held.hold = TokenHold(
            promise,
            render=lambda token: _wire(Response, token, nonce),
            kept=lambda: self._services.observer.token_issued(ask.grant_type),
        )
        held.boundary, held.endpoint = self._boundary, "token"
        return held

    def push(self) -> Response:
        """RFC 9126 section 2. A workload's first call here registers it too."""
        form, presented, context = self._open(PAR, Door.PAR)
        assert self._services.code_flow is not None, "the route is there where people can approve"
        pushed = self._services.code_flow.pushed_requests.push(presented, form, context)
        response = Response(json.dumps(pushed.to_wire()), 201, NO_STORE, "application/json")
        return _with_nonce(response, self._services.fresh_nonce(context.now))

    def _ask(self, form: Form) -> Ask:
        """What is asked. A pushed client has the two grant types of the code flow, and is told that it is not for
        any other (PCR-29)."""
        if self._services.code_flow is None:
            return parse_token_ask(form, GRANT_TYPES)
        grant_type = form.require("grant_type")
        if form.get("client_id") == PUSHED_CLIENT_ID and grant_type not in CODE_GRANT_TYPES:
            raise GrantNotAllowed(Reason.POLICY_GRANT_TYPE, f"a pushed client asked for {grant_type[:80]}")
        return parse_token_ask(form, GRANT_TYPES | CODE_GRANT_TYPES)

    def _promise(self, presented: Presented, form: Form, ask: Ask, context: RequestContext) -> PromisedToken:
        flow = self._services.code_flow
        if flow is not None and ask.grant_type == "authorization_code":
            return flow.authorization_code.grant(presented, form, ask, context)
        if flow is not None and ask.grant_type == "refresh_token":
            return flow.refresh.grant(presented, form, ask, context)
        return self._services.client_credentials.grant(presented, ask, context)

    def introspect(self) -> Response:
        """RFC 7662 section 2."""
        form, presented, context = self._open(INTROSPECT, Door.INTROSPECT)
        answer = self._services.questions.introspect(presented, form.require("token"), context)
        return Response(json.dumps(answer), 200, NO_STORE, "application/json")

    def revoke(self) -> Response:
        """RFC 7009 section 2."""
        form, presented, context = self._open(REVOKE, Door.REVOKE)
        self._services.questions.revoke(presented, form.require("token"), context)
        return Response(b"", 200, NO_STORE, "application/json")

    def _open(self, path: str, door: Door) -> tuple[Form, Presented, RequestContext]:
        # The request itself: each attribute of the proxy is one more look-up of which request this is.
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        environ = current.environ
        content_type = environ.get("CONTENT_TYPE")
        # A comma: two such fields, of which another reader might take the second.
        if content_type != FORM_TYPE and (current.mimetype != FORM_TYPE or "," in str(content_type)):
            raise UnsupportedMediaType
        now = self._services.clock()
        context = RequestContext(environ[REQUEST_ID], environ.get("REMOTE_ADDR", ""), door, now)
        form = parse_form(environ["wsgi.input"].read())
        url = self._services.endpoints.url(path, listener_asked(environ))
        return form, present(environ, form, url=url), context


def _wire(kind: type[R], token: IssuedToken, nonce: str | None) -> R:
    """RFC 6749 section 5.1; `nonce` is for the next DPoP proof (RFC 9449 section 8.2)."""
    return _with_nonce(kind(json.dumps(token.to_wire()), 200, NO_STORE, "application/json"), nonce)


def _with_nonce(response: R, nonce: str | None) -> R:
    if nonce is not None:
        response.headers["DPoP-Nonce"] = nonce
    return response
