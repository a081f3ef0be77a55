"""The chain's cryptography, the bucket's arithmetic, and the range of a prefix, by property."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.audit import AuditEventKind
from bridge.model.errors import LimitReached
from bridge.store.audit_chain import ChainKey, Checkpoint, Tail, line_of, line_of_columns
from bridge.store.issuing import granularity
from bridge.store.limits import Bucket, Rate
from bridge.store.listing import behind
from tests.contract.records import AUDIT_KEY, NOW, event

KEY = ChainKey(AUDIT_KEY)
texts = st.text(max_size=12)


def test_a_row_is_bound_by_plain_hmac_sha256_to_the_row_before() -> None:
    """What an independent verifier has to compute."""
    line = line_of(event(AuditEventKind.REFUSED, id="x", time=NOW))
    genesis = KEY.genesis("w1", NOW)
    message = b"row\n" + b"w1\n1\n" + genesis + line.message
    assert KEY.row("w1", 1, genesis, line.message) == hmac.new(AUDIT_KEY, message, hashlib.sha256).digest()


@given(st.tuples(texts, texts, texts, texts), st.tuples(texts, texts, texts, texts))
def test_two_events_that_differ_have_different_bytes(one: tuple[str, ...], two: tuple[str, ...]) -> None:
    fields = ("subject", "rule", "reason", "jti")
    lines = [line_of(event(id="x", **dict(zip(fields, values, strict=True)))) for values in (one, two)]
    assert (lines[0].message == lines[1].message) == (lines[0].columns == lines[1].columns)


@given(st.text(alphabet=st.characters(), max_size=30), st.integers(0, 2**70))
def test_what_is_stored_gives_the_same_bytes_again(text: str, number: int) -> None:
    line = line_of(event(subject=text, reason=text + "\ud800", ask={text: [text]}, bundle_sequence=number))
    assert line_of_columns(line.columns) == line
    for value in line.columns:
        if isinstance(value, str):
            value.encode()


def test_every_kind_of_mac_has_a_label_of_its_own() -> None:
    mac = KEY.genesis("w", 1)
    macs = {
        mac,
        KEY.row("w", 1, mac, b"[]"),
        KEY.head("w", Tail(1, mac)),
        KEY.link(mac, 1, "w", 1),
        KEY.roster(1, mac),
        KEY.checkpoint(Checkpoint("w", 1, mac, 1, 0, 1, 1)),
    }
    assert len(macs) == 6


@pytest.mark.parametrize(("size", "fits"), [(31, False), (32, True)])
def test_a_short_audit_key_is_refused(size: int, fits: bool) -> None:
    if fits:
        ChainKey(b"k" * size)
    else:
        with pytest.raises(ValueError, match="fewer than 32"):
            ChainKey(b"k" * size)


@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.lists(st.integers(0, 3), min_size=1, max_size=200),
)
def test_a_bucket_never_gives_more_than_burst_and_rate_allow(rate: int, burst: int, steps: list[int]) -> None:
    terms = Rate("registrations_per_second", "example.org", rate * 60, burst)
    bucket, now, given_out = Bucket(), NOW, 0
    for step in steps:
        now += step
        try:
            bucket.take(terms, now)
        except LimitReached:
            continue
        given_out += 1
    assert given_out <= burst + (now - NOW) * rate
    assert given_out >= min(len(steps), burst)


@given(st.text(min_size=1, max_size=6), st.text(max_size=6))
def test_the_range_of_a_prefix_holds_what_begins_with_it_and_nothing_else(prefix: str, other: str) -> None:
    high = behind(prefix)
    for text in (prefix, prefix + other, other):
        raw, low = text.encode("utf-8", "surrogatepass"), prefix.encode("utf-8", "surrogatepass")
        inside = low <= raw and (high is None or raw < high.encode("utf-8", "surrogatepass"))
        assert inside == text.startswith(prefix)


@pytest.mark.parametrize(("idle", "step"), [(None, 60), (1, 1), (20, 2), (600, 60), (30 * 86400, 60)])
def test_uses_are_written_in_steps_that_fit_the_idle_expiry(idle: int | None, step: int) -> None:
    assert granularity(idle) == step
