"""Documents that anybody may read: metadata, keys, health; and what only operators see."""

from __future__ import annotations

import json

from bridge.observe.readiness import Readiness
from bridge.web.lean import Response
from bridge.web.metadata import metadata, openid_configuration
from bridge.web.services import Services

# Verifiers cache the key set this long at most: shorter than any key waits before it signs.
JWKS_MAX_AGE = 300
METADATA_MAX_AGE = 300


class WellKnown:
    """Views without a body to parse."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def metadata(self) -> Response:
        """RFC 8414 section 3."""
        services = self._services
        return Response(
            metadata(services.endpoints, services.offered(), registration=services.enrolment is not None),
            200,
            {"Cache-Control": f"public, max-age={METADATA_MAX_AGE}"},
            "application/json",
        )

    def openid_configuration(self) -> Response:
        """OpenID Connect Discovery section 4, for who looks for our keys there."""
        services = self._services
        return Response(
            openid_configuration(services.endpoints, services.jwks()),
            200,
            {"Cache-Control": f"public, max-age={METADATA_MAX_AGE}"},
            "application/json",
        )

    def jwks(self) -> Response:
        """RFC 7517 section 5: signing, waiting and not yet retired keys."""
        headers = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE}"}
        return Response(self._services.jwks(), 200, headers, "application/json")

    def healthz(self) -> Response:
        """The process answers. Says nothing of what it depends on."""
        return Response('{"alive":true}', 200, {"Cache-Control": "no-store"}, "application/json")

    def readyz(self) -> Response:
        """Ready or not, without the reasons: those are on the metrics listener."""
        ready = self._services.readiness().ready
        return _json({"ready": ready}, 200 if ready else 503)

    def readyz_detail(self) -> Response:
        """Ready or not, with the state of every part."""
        readiness: Readiness = self._services.readiness()
        body = {"ready": readiness.ready, "parts": {name: dict(part) for name, part in readiness.parts.items()}}
        return _json(body, 200 if readiness.ready else 503)

    def metrics(self) -> Response:
        """The Prometheus text format."""
        return Response(self._services.exposition(), 200, content_type="text/plain; version=0.0.4; charset=utf-8")


def _json(body: object, status: int) -> Response:
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "5"} if status == 503 else {})
    return Response(json.dumps(body), status, headers, "application/json")
