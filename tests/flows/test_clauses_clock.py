"""A clock that jumps, ahead and back: nothing that was used, ended or expired comes back, and service goes on (F-5)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

import bridge.ambient
import bridge.app
from tests.flows.client import jwt_fields
from tests.flows.inprocess import InProcess

MINUTE, HOUR = 60, 3600


class Clock:
    """The machine's clock, set wrong by `offset` seconds."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return int(time.time()) + self.offset


class Jumping(InProcess):
    """A service whose clock can be set. The workloads' authority keeps the right time unless told otherwise."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder)
        self.clock = clock
        self.stand.authority.clock = lambda: int(time.time())

    def token(self, assertion: str, **fields: str) -> tuple[int, dict[str, object]]:
        answer = self.call(urlencode(jwt_fields(assertion, **fields)).encode())
        return int(answer.status[:3]), json.loads(answer.body)

    def svid(self, path: str, *, ahead: int = 0) -> str:
        """A JWT-SVID of five minutes by a clock that is `ahead`."""
        return self.stand.jwt(path, ttl=300 + ahead)

    def is_active(self, token: object, *, ahead: int = 0) -> bool:
        fields = jwt_fields(self.svid("/ns/ledger/sa/api", ahead=ahead)) | {"token": str(token)}
        answer = self.call(urlencode(fields).encode(), path=b"/introspect")
        assert answer.status == "200 OK", answer.body
        return bool(json.loads(answer.body)["active"])


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jumping]:
    clock = Clock()
    monkeypatch.setattr(bridge.app, "now", clock)
    monkeypatch.setattr(bridge.ambient, "now", clock)
    running = Jumping(tmp_path / "service", clock)
    yield running
    running.close()


@pytest.mark.parametrize("jump", [8, MINUTE, HOUR], ids=lambda jump: f"F-5 {jump} s")
def test_what_was_used_or_ended_stays_so_when_the_clock_jumps_ahead_and_back(service: Jumping, jump: int) -> None:
    once, path = service.svid("/ns/once/sa/a"), "/ns/web/sa/a"
    assert service.token(once)[0] == 200
    status, body = service.token(service.svid(path))
    assert status == 200
    ended = str(body["access_token"])
    assert service.is_active(ended)
    revoked = service.call(urlencode(jwt_fields(service.svid(path)) | {"token": ended}).encode(), path=b"/revoke")
    assert revoked.status == "200 OK"
    for offset in (jump, 0):
        service.clock.offset = offset
        service.worker._upkeep._sweep(service.clock())
        # Marks of its life may have been swept while the clock was ahead: then it is our trouble, a 503.
        assert service.token(once)[0] in (401, 503)
        assert not service.is_active(ended, ahead=offset)
        assert service.token(service.svid(path, ahead=offset))[0] == 200


@pytest.mark.parametrize("jump", [MINUTE + 1, HOUR], ids=lambda jump: f"F-5 {jump} s")
def test_an_expired_svid_is_refused_whichever_way_the_clock_went(service: Jumping, jump: int) -> None:
    svid = service.stand.jwt("/ns/web/sa/b", ttl=30)
    assert service.token(svid)[0] == 200
    service.clock.offset = jump
    assert service.token(svid)[0] == 401
    assert service.token(service.svid("/ns/web/sa/b", ahead=jump))[0] == 200


@pytest.mark.parametrize("jump", [8, MINUTE, HOUR], ids=lambda jump: f"F-5 -{jump} s")
def test_a_clock_that_was_set_back_still_serves(service: Jumping, jump: int) -> None:
    path = "/ns/web/sa/c"
    assert service.token(service.svid(path))[0] == 200
    service.clock.offset = -jump
    status, body = service.token(service.svid(path, ahead=-jump))
    assert status == 200, body
    assert service.is_active(body["access_token"], ahead=-jump)
