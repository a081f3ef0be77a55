"""Who the operator is. Settled for each request, before a page is asked; nobody else sees anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.model.errors import ConsoleRefused
from bridge.model.identity import PolicySubject, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.policy.pattern import Pattern, spiffe_address
from bridge.registration.verdicts import local_user
from bridge.web.lean import Response


@dataclass(frozen=True, slots=True)
class Operator:
    """`name` is what the audit log keeps; `binding` what this operator's forms are good for and nobody else's;
    `by` says in words how it is known who it is. `can_sign_out`: there is a session to be ended."""

    name: str
    binding: str
    by: str
    can_sign_out: bool = False


class Access(Protocol):
    """One way of knowing operators."""

    def identify(self, environ: dict[str, Any], *, now: int) -> Operator | Response:
        """Who asks; or where to go to become somebody. Raises: ConsoleRefused, Unavailable."""
        ...

    def finish(self, environ: Mapping[str, Any], response: Response) -> Response:
        """The answer to an operator, with what their browser should keep. Raises: Unavailable."""
        ...

    def sign_out(self, environ: Mapping[str, Any], response: Response) -> Response:
        """The answer to an operator who `can_sign_out` and does. Raises: Unavailable."""
        ...


class _WithoutSessions:
    """Known anew by each connection: nothing is kept, and there is nothing to end."""

    def finish(self, environ: Mapping[str, Any], response: Response) -> Response:
        """See `Access`."""
        return response

    def sign_out(self, environ: Mapping[str, Any], response: Response) -> Response:
        """See `Access`."""
        return response


class VerifyChain(Protocol):
    """Who has the key of this chain's leaf. Raises: EvidenceRejected, Unavailable."""

    def __call__(self, chain: tuple[bytes, ...], *, now: int) -> VerifiedIdentity: ...


class BySocket(_WithoutSessions):
    """Whoever can open the socket: the rights of its file let nobody else connect. The name is that of the account
    whose process connected."""

    def identify(self, environ: Mapping[str, Any], *, now: int) -> Operator:
        """See `Access`."""
        uid: int | None = environ.get("bridge.peer_uid")
        if uid is None:
            raise ConsoleRefused(Reason.CONSOLE_OPERATOR, "the connection came by no Unix socket")
        return Operator(local_user(uid), f"uid {uid}", "the console's Unix socket")


class ByCertificate(_WithoutSessions):
    """Whoever shows an X.509-SVID of a SPIFFE ID that the configuration names, and that neither an operator nor a rule
    denies."""

    def __init__(
        self, patterns: Sequence[Pattern], *, verify: VerifyChain, is_denied: Callable[[PolicySubject], bool]
    ) -> None:
        """`is_denied` says whether an operator or a rule denies that identity altogether; it may raise Unavailable."""
        self._patterns, self._verify, self._is_denied = tuple(patterns), verify, is_denied

    def identify(self, environ: Mapping[str, Any], *, now: int) -> Operator:
        """See `Access`. Raises also: EvidenceRejected for a certificate that does not hold."""
        chain: tuple[bytes, ...] = environ.get("bridge.peer_chain", ())
        if not chain:
            raise ConsoleRefused(Reason.CONSOLE_OPERATOR, "no client certificate")
        subject = self._verify(chain, now=now).subject
        spiffe_id = subject.spiffe_id
        assert spiffe_id is not None, "a chain that was verified has one"
        address = spiffe_address(spiffe_id)
        if not any(pattern.matches(address) for pattern in self._patterns):
            raise ConsoleRefused(Reason.CONSOLE_OPERATOR, f"{spiffe_id} is no operator")
        if self._is_denied(subject):
            raise ConsoleRefused(Reason.CONSOLE_OPERATOR, f"{spiffe_id} is denied")
        return Operator(str(spiffe_id), str(spiffe_id), "its X.509-SVID")
