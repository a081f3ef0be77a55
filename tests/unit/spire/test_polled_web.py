"""https_web endpoints over real TLS: what each answer, good or bad, makes of a trust domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.model.bundle import BundleHealth
from bridge.model.errors import Unavailable
from bridge.spire.parse import MAX_BUNDLE_BYTES
from tests.unit.fetch.tls_server import HOST, http, sends
from tests.unit.spire.endpoint_stand import HINT, PARTNER, Web, document, web

FRESH, LATE, EMPTY = BundleHealth.FRESH, BundleHealth.LATE, BundleHealth.EMPTY
MALFORMED, UNREACHABLE = BundleHealth.MALFORMED, BundleHealth.UNREACHABLE


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path) as stand:
        yield stand


def test_a_bundle_is_fetched_and_is_in_force(stand: Web) -> None:
    """SCA-28, SPIFFE-27."""
    poller = stand.poller()
    assert poller.status.health is UNREACHABLE
    status = poller.ask()
    assert (status.health, status.fault, status.reason, poller.outcomes) == (FRESH, None, "", ["changed"])
    assert status.bundle is not None
    assert status.bundle.jwt_authorities
    assert (status.fetched_at, status.refresh_at) == (stand.clock.now, stand.clock.now + HINT)
    assert poller.book.live(PARTNER, stand.clock.now).bundle == status.bundle
    assert [(change.trust_domain, len(change.jwt_added)) for change in poller.changes] == [(PARTNER, 1)]


def test_nothing_of_us_goes_out_with_the_question(stand: Web) -> None:
    stand.poller().ask()
    (head,) = stand.server.requests
    assert head.startswith(b"GET /bundle HTTP/1.1\r\n")
    assert b"authorization" not in head.lower()
    assert b"cookie" not in head.lower()


BAD: dict[str, tuple[Callable[[Web], None], BundleHealth, str]] = {
    "T-20-lower-sequence": (lambda s: s.says_its_bundle(spiffe_sequence=0), MALFORMED, "lower_sequence"),
    "F-6-html-with-200": (
        lambda s: s.says(b"<html>Please sign in</html>", content_type="text/html"),
        MALFORMED,
        "malformed",
    ),
    "F-6-cut": (lambda s: s.says(document(s.authority)[:-9]), MALFORMED, "malformed"),
    "F-6-duplicate-kid": (
        lambda s: s.says_its_bundle(keys=[*s.authority.bundle()["keys"], s.authority.bundle()["keys"][-1]]),  # type: ignore[misc, index]
        MALFORMED,
        "malformed",
    ),
    "SPIFFE-33-bundle-map": (
        lambda s: s.says(b'{"trust_domains": {"partner.example": %s}}' % document(s.authority)),
        MALFORMED,
        "malformed",
    ),
    "T-19-ten-megabytes-announced": (
        lambda s: s.says(b" " * 10, content_length=str(10 * MAX_BUNDLE_BYTES)),
        MALFORMED,
        "too_large",
    ),
    "T-19-more-than-a-megabyte": (lambda s: s.says(b" " * (MAX_BUNDLE_BYTES + 1)), MALFORMED, "too_large"),
    "F-6-compressed": (lambda s: s.says(b"x", content_encoding="gzip"), MALFORMED, "encoding"),
    "SPIFFE-29-redirect": (
        lambda s: s.says(b"", "302 Found", location=s.server.url("/elsewhere")),
        UNREACHABLE,
        "redirect",
    ),
    "SPIFFE-29-redirect-to-http": (
        lambda s: s.says(b"", "301 Moved", location="http://docs.example/bundle"),
        UNREACHABLE,
        "redirect",
    ),
    "F-6-not-found": (lambda s: s.says(b"", "404 Not Found"), UNREACHABLE, "status"),
    "F-6-server-error": (lambda s: s.says(b"", "503 Busy"), UNREACHABLE, "server_error"),
    "F-6-a-304-nobody-asked-for": (lambda s: s.says(b"", "304 Not Modified"), UNREACHABLE, "status"),
    "F-6-cut-body": (
        lambda s: setattr(s.server, "answer", sends(http(b"{}", length=500))),
        UNREACHABLE,
        "cut",
    ),
    "F-6-cut-at-once": (lambda s: setattr(s.server, "answer", lambda stream: None), UNREACHABLE, "cut"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_keeps_the_last_good_bundle_and_says_what_is_wrong(stand: Web, name: str) -> None:
    """SPIFFE-24, SPIFFE-25, T-19, T-20: the twin is the good answer before it and the one after it."""
    spoil, fault, outcome = BAD[name]
    poller = stand.poller()
    good = poller.ask()
    spoil(stand)
    stand.clock.now += HINT
    status = poller.ask()
    assert (status.health, status.fault, poller.outcomes[-1]) == (LATE, fault, outcome)
    assert status.reason
    assert (status.bundle, status.revision, status.fetched_at) == (good.bundle, good.revision, good.fetched_at)
    stand.says_its_bundle()
    assert poller.ask().health is FRESH


@pytest.mark.parametrize("name", [name for name in BAD if "sequence" not in name])
def test_a_bad_answer_at_first_leaves_the_trust_domain_unknown(stand: Web, name: str) -> None:
    spoil, fault, outcome = BAD[name]
    spoil(stand)
    poller = stand.poller()
    status = poller.ask()
    assert (status.health, status.fault, poller.outcomes) == (fault, fault, [outcome])
    with pytest.raises(Unavailable, match="not known"):
        poller.book.live(PARTNER, stand.clock.now)


def test_a_slow_drip_ends_with_the_time_for_one_question(stand: Web) -> None:
    """T-6, SPIFFE-27."""

    def drip(stream: object) -> None:
        stand.server.ending.wait(5)

    stand.server.answer = drip
    poller = stand.poller(seconds=1)
    status = poller.ask()
    stand.server.ending.set()
    assert (status.health, poller.outcomes) == (UNREACHABLE, ["timeout"])


@pytest.mark.parametrize("keys", [[], [{"kty": "EC", "kid": "a", "crv": "P-256", "x": "AA", "y": "AA"}]])
def test_a_bundle_without_a_usable_key_replaces_the_one_before_and_trusts_nothing(
    stand: Web, keys: list[object]
) -> None:
    """SPIFFE-23, SCA-34: empty, and with no `use` at all; a higher sequence or not."""
    poller = stand.poller()
    poller.ask()
    stand.says_its_bundle(keys=keys)
    status = poller.ask()
    assert (status.health, poller.outcomes[-1]) == (EMPTY, "empty")
    assert poller.book.live(PARTNER, stand.clock.now).bundle.is_empty
    stand.says_its_bundle()
    assert poller.ask().health is FRESH


def test_an_entry_without_use_is_ignored_and_the_rest_kept(stand: Web) -> None:
    """SPIFFE-21."""
    whole = stand.poller().ask().bundle
    keys = [dict(key) for key in stand.authority.bundle()["keys"]]  # type: ignore[attr-defined, call-overload]
    del keys[0]["use"]
    stand.says_its_bundle(keys=keys)
    part = stand.poller().ask().bundle
    assert whole is not None
    assert part is not None
    assert (part.x509_authorities, part.jwt_authorities) == ((), whole.jwt_authorities)


def test_a_server_of_another_name_gives_nothing(tmp_path: Path) -> None:
    """SPIFFE-27: the name in the URL is what its certificate has to hold."""
    with web(tmp_path, hosts=("other.example",)) as stand:
        poller = stand.poller()
        status = poller.ask()
        assert (status.health, poller.outcomes, stand.server.requests) == (UNREACHABLE, ["tls"], [])


def test_a_server_of_a_ca_that_nobody_named_gives_nothing(stand: Web, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    poller = stand.poller()
    assert (poller.ask().health, poller.outcomes) == (UNREACHABLE, ["ca_file"])
    own = stand.poller(endpoint=type(stand.endpoint)(stand.endpoint.url, None))
    assert (own.ask().health, own.outcomes) == (UNREACHABLE, ["tls"])
    assert own.status.reason.endswith("verified by the system's CAs, `ca_file` names others")
    assert stand.server.requests == []


def test_an_unchanged_bundle_is_confirmed_by_its_etag(stand: Web) -> None:
    poller = stand.poller()
    stand.says(document(stand.authority), etag='"7"')
    poller.ask()
    stand.says(b"", "304 Not Modified", etag='"7"')
    stand.clock.now += HINT
    status = poller.ask()
    assert b'if-none-match: "7"' in stand.server.requests[-1].lower()
    assert (status.health, status.fetched_at, poller.outcomes[-1]) == (FRESH, stand.clock.now, "unchanged")
    assert status.refresh_at == stand.clock.now + HINT
    assert len(poller.changes) == 1


def test_a_changed_bundle_says_which_keys_came_and_went(stand: Web) -> None:
    poller = stand.poller()
    before = poller.ask().bundle
    stand.authority.rotate_jwt()
    stand.says_its_bundle()
    after = poller.ask().bundle
    assert before is not None
    assert after is not None
    change = poller.changes[-1]
    assert (change.jwt_added, change.jwt_removed) == (
        (after.jwt_authorities[0].key_id,),
        (before.jwt_authorities[0].key_id,),
    )
    assert change.sequence == after.sequence


def test_a_lower_sequence_is_taken_when_an_operator_says_so_and_then_holds(stand: Web) -> None:
    """SPIFFE-25: a trust domain that was made anew counts from the beginning again."""
    poller = stand.poller()
    stand.says_its_bundle(spiffe_sequence=9)
    poller.ask()
    stand.says_its_bundle(spiffe_sequence=4, keys=[])
    assert poller.ask().fault is MALFORMED
    assert poller.ask(accept_lower=True).health is EMPTY
    assert poller.ask().health is EMPTY
    stand.says_its_bundle(spiffe_sequence=3)
    assert poller.ask().fault is MALFORMED


def test_a_bundle_without_a_sequence_lets_no_older_one_in_after_it(stand: Web) -> None:
    poller = stand.poller()
    stand.says_its_bundle(spiffe_sequence=9)
    poller.ask()
    stand.says_its_bundle(spiffe_sequence=None)
    assert poller.ask().health is FRESH
    stand.says_its_bundle(spiffe_sequence=8)
    assert (
        poller.ask()
        .reason.split(": ", 2)[2]
        .startswith("spiffe_sequence went back from 9 to 8; the bundle is ignored.")
    )


def test_ignored_for_too_long_an_older_bundle_makes_the_trust_domain_stale(stand: Web) -> None:
    """SPIFFE-24, SPIFFE-25: who replays an old bundle does not keep the keys of today alive either."""
    poller = stand.poller(max_stale=600)
    poller.ask()
    stand.says_its_bundle(spiffe_sequence=0)
    stand.clock.now += 600
    assert poller.ask().health is BundleHealth.STALE
    with pytest.raises(Unavailable, match="past max_stale"):
        poller.book.live(PARTNER, stand.clock.now)


def test_the_host_is_the_one_that_was_named_and_says_nothing_of_the_trust_domain(stand: Web) -> None:
    """SPIFFE-28."""
    status = stand.poller().ask()
    assert (HOST, status.trust_domain, status.health) == ("docs.example", PARTNER, FRESH)
    assert f"host: {HOST}:{stand.server.port}".encode() in stand.server.requests[0].lower()
