"""The code flow as the web layer is given it: one object per endpoint, put together once."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.grants.authorization_code import AuthorizationCode
from bridge.grants.authorizing import Authorizing
from bridge.grants.pushed_requests import PushedRequests
from bridge.grants.refresh import Refresh


@dataclass(frozen=True, slots=True)
class CodeFlow:
    """What there is where people can approve: `/par`, the two grant types at `/token`, and what the pages call."""

    pushed_requests: PushedRequests
    authorization_code: AuthorizationCode
    refresh: Refresh
    authorizing: Authorizing
