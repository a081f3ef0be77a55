"""What goes back to a client by way of the browser (RFC 6749 section 4.1.2, RFC 9207)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model.errors import BridgeError


@dataclass(frozen=True, slots=True)
class AuthorizationAnswer:
    """An authorization response: a code, or the error that there is none for. `redirect_uri` was matched with what
    somebody vouched for, so the browser may be sent there. Not in it: `iss`, which every response carries, and
    the error's code on the wire; both are the web layer's to add."""

    redirect_uri: str
    state: str | None
    code: str | None = None
    error: BridgeError | None = None


class AnsweredByRedirect(BridgeError):
    """A refusal that the client is told of: its redirect URI is verified, so the user is sent back there (OAS-8).

    Every other error of an authorization request is for the page that the user has before them (OAS-7, CIMD-18).
    """

    def __init__(self, error: BridgeError, *, redirect_uri: str, state: str | None) -> None:
        super().__init__(
            error.reason, error.detail, public=error.public, rule=error.rule, policy_version=error.policy_version
        )
        self.subject, self.evidence, self.asked, self.row = error.subject, error.evidence, error.asked, error.row
        self.answer = AuthorizationAnswer(redirect_uri, state, error=error)
