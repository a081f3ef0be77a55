"""`/register` (RFC 7591) and `/register/{handle}` (RFC 7592): parse once, call one thing, render.

A registration is rare beside tokens, so its answer waits in its thread for the durable record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import Request, request

from bridge.metadata import members
from bridge.model.errors import RegistrationTokenMissing, RegistrationTokenRejected
from bridge.model.evidence import Door, RequestContext
from bridge.model.reasons import Reason
from bridge.registration.enrolment import Enrolled, Enrolment
from bridge.registration.management import Management
from bridge.web.boundary import REQUEST_ID
from bridge.web.errors import NO_STORE
from bridge.web.json_bodies import read_json, statement_of, updated_client
from bridge.web.lean import Response
from bridge.web.present import listener_asked, peer_chain, present_statement
from bridge.web.services import REGISTER, Services

# RFC 6750 section 2.1. Two Authorization fields arrive joined by a comma, which no token has.
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_BEARER_SCHEME = re.compile(r"bearer\b", re.IGNORECASE)
# Handles are random and unreserved in URLs (RFC 3986); nothing else is worth a question to the store.
_HANDLE = re.compile(r"[A-Za-z0-9\-._~]{1,256}")
# What only the server gives. A record's own members never stand in for these; a secret there is none (DCR-12).
_GIVEN_BY_SERVER = frozenset(
    {
        "client_id",
        "client_id_issued_at",
        "client_secret",
        "client_secret_expires_at",
        "registration_access_token",
        "registration_client_uri",
        "software_statement",
    }
)


class RegistrationEndpoint:
    """Where clients register explicitly. An identity that did so before gets the same client (DCR-20)."""

    def __init__(self, services: Services, enrolment: Enrolment) -> None:
        self._services, self._enrolment = services, enrolment

    def register(self) -> Response:
        """RFC 7591 section 3. `client_id` in the body, and whatever else no table of ours names, is ignored (DCR-3)."""
        environ = _environ()
        body = read_json(environ)
        if "HTTP_AUTHORIZATION" in environ:
            # Nobody is given an initial access token here, so whatever this is, it is not one of ours (DCR-23).
            raise RegistrationTokenRejected(
                Reason.REGISTRATION_TOKEN,
                "an Authorization header at /register",
                public="no initial access token is issued here: send no Authorization header",
            )
        statement, metadata = statement_of(body), members.read(body)
        url = self._services.endpoints.url(REGISTER, listener_asked(environ))
        presented = present_statement(environ, statement, url=url)
        context = _context(environ, self._services)
        enrolled = self._enrolment.register(presented, metadata, context)
        response = _information(self._services, enrolled, 201)
        nonce = None if presented.dpop is None else self._services.fresh_nonce(context.now)
        if nonce is not None:
            response.headers["DPoP-Nonce"] = nonce  # For the next proof (RFC 9449 section 8.2).
        return response


class ManagementEndpoint:
    """Where a client reads, replaces and deletes its own record: by its registration access token and by its own
    SVID over mTLS, both in one request (interface section 9)."""

    def __init__(self, services: Services, management: Management) -> None:
        self._services, self._management = services, management

    def read(self, handle: str) -> Response:
        """RFC 7592 section 2.1."""
        environ = _environ()
        token, chain = _both_credentials(environ, handle)
        enrolled = self._management.read(handle, token, chain, _context(environ, self._services))
        return _information(self._services, enrolled, 200)

    def replace(self, handle: str) -> Response:
        """RFC 7592 section 2.2: what is left out is deleted. A `software_statement` in it is ignored: clients send
        back what they were given, and what was stated does not change here (DCR-30)."""
        environ = _environ()
        token, chain = _both_credentials(environ, handle)
        body = read_json(environ)
        client_id, metadata = updated_client(body), members.read(body)
        enrolled = self._management.replace(
            handle, token, chain, client_id, metadata, _context(environ, self._services)
        )
        return _information(self._services, enrolled, 200)

    def delete(self, handle: str) -> Response:
        """RFC 7592 section 2.3."""
        environ = _environ()
        token, chain = _both_credentials(environ, handle)
        self._management.delete(handle, token, chain, _context(environ, self._services))
        response = Response(b"", 204, NO_STORE)
        del response.headers["Content-Type"]
        return response


def _environ() -> dict[str, Any]:
    # The request itself: each attribute of the proxy is one more look-up of which request this is.
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    return current.environ


def _context(environ: Mapping[str, Any], services: Services) -> RequestContext:
    return RequestContext(environ[REQUEST_ID], environ.get("REMOTE_ADDR", ""), Door.REGISTER, services.clock())


def _both_credentials(environ: Mapping[str, Any], handle: str) -> tuple[str, tuple[bytes, ...]]:
    """The registration access token and the certificate chain of this request.

    Raises: RegistrationTokenMissing when no bearer token was sent; RegistrationTokenRejected for a malformed or a
    second one, without a certificate, and for a handle that no client can have. Not checked: that any of it is good.
    """
    authorization: str = environ.get("HTTP_AUTHORIZATION", "")
    if _BEARER_SCHEME.match(authorization) is None:
        raise RegistrationTokenMissing(Reason.CREDENTIAL_MISSING, "no bearer token")
    bearer = _BEARER.fullmatch(authorization)
    if bearer is None:
        raise RegistrationTokenRejected(Reason.REGISTRATION_TOKEN, "not one bearer token")
    if _HANDLE.fullmatch(handle) is None:
        raise RegistrationTokenRejected(Reason.REGISTRATION_TOKEN, "no client has such a registration_client_uri")
    chain = peer_chain(environ)
    if not chain:
        raise RegistrationTokenRejected(Reason.CREDENTIAL_MISSING, "no certificate beside the registration token")
    return bearer[1], chain


def _information(services: Services, enrolled: Enrolled, status: int) -> Response:
    """The client information response (RFC 7591 section 3.2.1, RFC 7592 section 3)."""
    body: dict[str, object] = {
        "client_id": enrolled.record.client_id,
        "client_id_issued_at": enrolled.record.created_at,
        **{name: value for name, value in enrolled.metadata.items() if name not in _GIVEN_BY_SERVER},
    }
    if enrolled.statement is not None:
        body["software_statement"] = enrolled.statement
    if enrolled.access is not None:
        body["registration_client_uri"] = services.endpoints.url(f"{REGISTER}/{enrolled.access.handle}", "mtls")
        body["registration_access_token"] = enrolled.access.token
    return Response(json.dumps(body, separators=(",", ":")), status, NO_STORE, "application/json")
