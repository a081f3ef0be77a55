"""Two trust domains that come to hold one key, in a whole service: both are refused by every worker and over TLS, with
a reason; the third is not; and when one gives the key up both are back (T-12, issue 6)."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bridge.config import load_settings
from bridge.lab.authority import Authority
from bridge.model.audit import AuditEventKind
from bridge.opening import open_store
from tests.flows.client import Answer, jwt_fields
from tests.flows.inprocess import InProcess
from tests.flows.stand import ORDERS, Stand

OURS, PARTNER, THIRD = "example.org", "partner.example", "third.example"
SHARING = (OURS, PARTNER)
PATH = "/ns/web/sa/api"
WORKERS, OFTEN = 2, 4
REFUSED = (503, "temporarily_unavailable")


class Three:
    """A service of two workers that trusts three trust domains by files."""

    def __init__(self, folder: Path) -> None:
        names = (PARTNER, THIRD)
        sections = "".join(
            f'[trust_domains."{name}"]\nsource = "file"\npath = "bundles/{name}.json"\n' for name in names
        )
        self.stand = Stand(folder, more=sections)
        self.authorities = {OURS: self.stand.authority, **{name: Authority(name) for name in names}}
        for name in names:
            self.write(name, self.keys_of(name))
            (self.stand.policies / f"{name}.toml").write_text(
                f'version = 1\nsource = "spiffe"\ntrust_domain = "{name}"\n'
                f'[[rule]]\nid = "{name.split(".")[0]}"\nwhy = "a partner"\neffect = "allow"\n'
                f'when = {{ path = "{PATH}" }}\n'
                f'grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present" }}\n'
            )

    def keys_of(self, name: str) -> list[Any]:
        keys = self.authorities[name].bundle()["keys"]
        assert isinstance(keys, list)
        return keys

    def write(self, name: str, keys: Sequence[object]) -> None:
        draft = self.stand.folder / "bundles/.draft"
        draft.write_text(json.dumps({"keys": keys}))
        draft.replace(self.stand.folder / f"bundles/{name}.json")

    def by_jwt(self, name: str) -> Answer:
        return self.stand.client.by_jwt(self.authorities[name].jwt_svid(PATH, self.stand.client.issuer))

    def by_x509(self, name: str) -> Answer:
        return self.stand.client.by_x509(self.authorities[name].x509_svid(PATH))

    def until_each_worker_says(self, words: str) -> None:
        """Until all workers have logged these words of both trust domains: what they say is in force by then."""

        def said() -> dict[str, int]:
            return {name: sum(f"trust bundle of {name} {words}" in line for line in self.lines()) for name in SHARING}

        self.stand.until(lambda: said() == dict.fromkeys(SHARING, WORKERS), f"each worker says: {words}")

    def lines(self) -> list[str]:
        return [line for line in self.stand.log.splitlines() if "trust bundle of" in line]

    def answers(self, expected: dict[str, tuple[int, str]]) -> bool:
        """Whether it answers so, over and over; which worker takes a connection is left to chance."""
        return all(
            (answer.status, answer.error) == wanted
            for name, wanted in expected.items()
            for answer in (self.by_jwt(name) for _ in range(OFTEN))
        )

    def noted(self) -> dict[str, list[str]]:
        """What the audit log has of each trust domain's bundle, in order."""
        with closing(open_store(load_settings(self.stand.config, {}))) as store:
            events = [row.event for row in store.audit.rows(events=(AuditEventKind.BUNDLE_CHANGED,))]
        return {name: [event.outcome for event in events if event.subject == name] for name in self.authorities}


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    made = Three(tmp_path / "service")
    yield made
    made.stand.stop()


def test_both_are_refused_everywhere_with_the_reason_nobody_else_is_and_both_come_back(three: Three) -> None:
    stand, ok = three.stand, (200, "None")
    own_keys = three.keys_of(PARTNER)
    ours = three.keys_of(OURS)[0]
    with stand:
        assert three.answers(dict.fromkeys((OURS, PARTNER, THIRD), ok))
        assert three.by_x509(OURS).status == three.by_x509(PARTNER).status == 200
        # The log says in whole seconds who came by a key when: within one nobody could tell who was last.
        known = int(time.time())
        stand.until(lambda: int(time.time()) > known, "the next second has begun")
        # Public as it is, anybody can put another one's CA into the bundle of their own trust domain.
        three.write(PARTNER, [*own_keys, ours])
        three.until_each_worker_says("is refused: it shares key")
        assert three.answers({OURS: REFUSED, PARTNER: REFUSED, THIRD: ok})
        for name in SHARING:
            answer = three.by_x509(name)
            assert (answer.status, answer.error) == REFUSED, "an answer, not a handshake that breaks off"
            assert int(answer.headers["Retry-After"]) > 0
        assert three.by_x509(THIRD).status == 200
        assert_shown(three)
        three.write(PARTNER, own_keys)
        three.until_each_worker_says("shares no key any more")
        assert three.answers(dict.fromkeys((OURS, PARTNER, THIRD), ok)), "both are back by themselves"
        assert three.by_x509(OURS).status == three.by_x509(PARTNER).status == 200
        stand.until(lambda: three.noted()[OURS][-1] == "shared_no_more", "the end is noted")
    assert three.noted() == {
        OURS: ["changed", "shared", "shared_no_more"],
        PARTNER: ["changed", "shared", "shared_no_more"],
        THIRD: ["changed"],
    }


def assert_shown(three: Three) -> None:
    """The same in readiness, log, audit and commands: which key, with whom, who came by it last."""
    stand = three.stand
    with urllib.request.urlopen(f"http://127.0.0.1:{stand.metrics_port}/readyz", timeout=20) as ready:
        bundles = json.load(ready)["parts"]["bundles"]
    assert {name: bundles[name]["state"] for name in three.authorities} == {
        OURS: "shared",
        PARTNER: "shared",
        THIRD: "fresh",
    }
    assert PARTNER in bundles[OURS]["reason"]
    assert OURS in bundles[PARTNER]["reason"]
    assert all(f"{PARTNER} came by it last" in bundles[name]["reason"] for name in SHARING)
    stand.until(lambda: three.noted()[PARTNER][-1] == "shared", "it is noted")
    listed = {row["trust_domain"]: row for row in stand.json("trust", "list")}
    assert (listed[OURS]["state"], listed[OURS]["shared"]["with"], listed[OURS]["shared"]["last"]) == (
        "shared",
        PARTNER,
        PARTNER,
    )
    lines = [line for line in three.lines() if "is refused: it shares key" in line]
    assert all(OURS in line and PARTNER in line and f"{PARTNER} came by it last" in line for line in lines)


def test_a_service_that_starts_with_a_shared_key_refuses_both_and_serves_the_others(tmp_path: Path) -> None:
    """Without a word of before: nobody has seen who came by it last."""
    three = Three(tmp_path / "service")
    three.write(PARTNER, three.keys_of(OURS))
    service = InProcess(tmp_path, lambda _: three.stand)
    try:
        answers = {}
        for name, authority in three.authorities.items():
            fields = jwt_fields(authority.jwt_svid(PATH, three.stand.client.issuer))
            answers[name] = int(service.call(urlencode(fields).encode()).status[:3])
        assert answers == {OURS: 503, PARTNER: 503, THIRD: 200}
        assert three.noted() == {OURS: ["shared"], PARTNER: ["shared"], THIRD: ["changed"]}
    finally:
        service.close()
