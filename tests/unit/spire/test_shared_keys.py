"""One key in two trust domains: found whatever it is used for, both refused, nobody else touched, back by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import cache
from itertools import permutations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.jose.keys import import_public
from bridge.lab.jws import JwtKey
from bridge.lab.x509 import certify, root_profile
from bridge.model.bundle import BundleHealth, JwtAuthority, TrustBundle
from bridge.model.errors import Unavailable
from bridge.model.polled_bundle import NotedKeys
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook, TrackedTrustDomain
from bridge.spire.shared_keys import SharedKeys, thumbprints

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
A, B, C = TrustDomain("a.example"), TrustDomain("b.example"), TrustDomain("c.example")
NOW = 1_800_000_000
KEYS: dict[str, Key] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
ONE, OTHER = KEYS["P-256"], ec.generate_private_key(ec.SECP256R1())


@cache
def ca(key: Key, *, days: int = 1) -> bytes:
    """A CA's certificate over this key, DER; the same one each time, another one for other days."""
    profile = root_profile(None, not_before=NOW, not_after=NOW + days * 86400)
    return certify(None, key, profile).public_bytes(Encoding.DER)


def jwt(key: Key, kid: str = "k") -> JwtAuthority:
    """A JWT authority as the parser would have made it."""
    jwk = JwtKey(kid, "", key).public_jwk()
    return JwtAuthority(kid, json.dumps(jwk, sort_keys=True, separators=(",", ":")))


def bundle(trust_domain: TrustDomain, *keys: bytes | JwtAuthority, sequence: int = 1) -> TrustBundle:
    cas = tuple(key for key in keys if isinstance(key, bytes))
    return TrustBundle(trust_domain, cas, tuple(key for key in keys if isinstance(key, JwtAuthority)), sequence)


def new_book() -> BundleBook:
    return BundleBook(TrackedTrustDomain(td, "file", 3600, 10) for td in (A, B, C))


def refusal(book: BundleBook, trust_domain: TrustDomain) -> str:
    with pytest.raises(Unavailable) as refused:
        book.live(trust_domain, NOW)
    assert refused.value.reason is Reason.BUNDLE_SHARED
    return refused.value.detail


def health(book: BundleBook) -> dict[str, BundleHealth]:
    return {status.trust_domain.name: status.health for status in book.statuses(NOW)}


# --- what is one key -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_has_one_thumbprint_as_ca_and_as_jwk_and_it_is_that_of_rfc_7638(kind: str) -> None:
    key = KEYS[kind]
    (of_ca,) = thumbprints(bundle(A, ca(key)))
    (of_jwk,) = thumbprints(bundle(A, jwt(key)))
    assert of_ca == of_jwk == import_public(JwtKey("", "", key).public_jwk()).thumbprint


SAME: dict[str, Callable[[Key], bytes | JwtAuthority]] = {
    "the same certificate": ca,
    "a certificate made anew": lambda key: ca(key, days=7),
    "a jwt key under another kid": lambda key: jwt(key, "another"),
    "a jwt key without a kid": lambda key: jwt(key, ""),
    "a ca's key that signs jwt-svids": jwt,
}


@pytest.mark.parametrize("held", [ca, jwt], ids=["as a ca", "as a jwt key"])
@pytest.mark.parametrize("name", SAME)
def test_two_trust_domains_with_one_key_are_both_refused(
    held: Callable[[Key], bytes | JwtAuthority], name: str
) -> None:
    """T-12: the twin differs in the key alone."""
    book = new_book()
    book.publish(bundle(A, held(ONE)), confirmed_at=NOW)
    book.publish(bundle(B, SAME[name](OTHER)), confirmed_at=NOW)
    assert health(book)["a.example"] is health(book)["b.example"] is BundleHealth.FRESH
    book.publish(bundle(B, SAME[name](ONE)), confirmed_at=NOW)
    assert "with b.example" in refusal(book, A)
    assert "with a.example" in refusal(book, B)


def test_what_cannot_be_read_is_compared_byte_by_byte_and_never_an_error() -> None:
    keys = SharedKeys()
    odd = (b"no certificate", JwtAuthority("", '{"kty":"OKP"}'), JwtAuthority("k", '{"kty":"EC","x":5}'))
    keys.hold(bundle(A, *odd))
    keys.hold(bundle(B, b"another", JwtAuthority("", '{"kty":"RSA"}')))
    assert keys.shared_by(B) is None
    keys.hold(bundle(C, odd[0]))
    shared = keys.shared_by(C)
    assert shared is not None
    assert shared.other == A


def test_one_key_twice_in_one_trust_domain_is_shared_with_nobody() -> None:
    book = new_book()
    book.publish(bundle(A, ca(ONE), ca(ONE, days=9), jwt(ONE), jwt(ONE, "k2")), confirmed_at=NOW)
    assert health(book)["a.example"] is BundleHealth.FRESH


# --- what follows --------------------------------------------------------------------------------------


def test_both_are_back_by_themselves_when_one_gives_the_key_up_and_nothing_of_before_is_remembered() -> None:
    book = new_book()
    book.publish(bundle(A, ca(ONE)), confirmed_at=NOW)
    before = book.live(A, NOW).revision
    book.publish(bundle(B, ca(ONE), jwt(OTHER)), confirmed_at=NOW)
    refusal(book, A)
    book.publish(bundle(B, jwt(OTHER)), confirmed_at=NOW)
    assert health(book)["a.example"] is health(book)["b.example"] is BundleHealth.FRESH
    assert book.live(A, NOW).revision > before, "verifications of before are not valid again"
    assert book.live(A, NOW).bundle == bundle(A, ca(ONE))


@pytest.mark.parametrize("way", ["it is emptied", "it has other keys", "the other one has"])
def test_any_way_out_ends_it(way: str) -> None:
    book = new_book()
    book.publish(bundle(A, ca(ONE)), confirmed_at=NOW)
    book.publish(bundle(B, ca(ONE)), confirmed_at=NOW)
    after = {"it is emptied": bundle(B), "it has other keys": bundle(B, ca(OTHER)), "the other one has": bundle(A)}[way]
    book.publish(after, confirmed_at=NOW)
    for trust_domain in (A, B):
        book.live(trust_domain, NOW)


def test_a_third_trust_domain_feels_nothing_of_it() -> None:
    """Issue 6: a trust domain that is ill never affects another."""
    book = new_book()
    book.publish(bundle(A, ca(ONE)), confirmed_at=NOW)
    book.publish(bundle(C, ca(OTHER)), confirmed_at=NOW)
    before, told = book.live(C, NOW), list[TrustDomain]()
    book.on_sharing(told.append)
    book.publish(bundle(B, ca(ONE)), confirmed_at=NOW)
    assert book.live(C, NOW) == before
    assert set(told) == {A, B}


def test_the_anchors_of_both_stay_in_the_handshake_so_that_the_answer_can_say_503() -> None:
    book = new_book()
    mine, theirs = ca(ONE), ca(ONE, days=7)
    book.publish(bundle(A, mine), confirmed_at=NOW)
    book.publish(bundle(B, theirs), confirmed_at=NOW)
    assert set(book.anchors().certificates) == {mine, theirs}


def test_a_bundle_that_is_stale_or_at_fault_still_holds_its_keys() -> None:
    book = new_book()
    book.publish(bundle(A, ca(ONE)), confirmed_at=NOW - 7200)
    book.fail(A, BundleHealth.UNREACHABLE, "gone")
    assert health(book)["a.example"] is BundleHealth.STALE
    book.publish(bundle(B, ca(ONE)), confirmed_at=NOW)
    refusal(book, B)
    refusal(book, A)
    assert book.statuses(NOW)[0].fault is BundleHealth.UNREACHABLE


def test_what_a_bundle_endpoint_s_server_is_verified_by_is_held_all_the_same_until_it_is_stale() -> None:
    """Whoever copies a hub's CA must not end the polling of all that the hub serves, nor keep the cure away."""
    book = new_book()
    book.publish(bundle(A, ca(ONE)), confirmed_at=NOW)
    book.publish(bundle(B, ca(ONE)), confirmed_at=NOW)
    assert book.held(A, NOW).bundle == bundle(A, ca(ONE))
    with pytest.raises(Unavailable, match="past max_stale"):
        book.held(A, NOW + 3600)


# --- what is said --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(A, B), (B, A)], ids=["the second", "the first"])
def test_who_came_by_the_key_last_is_named_on_both_sides(order: tuple[TrustDomain, TrustDomain]) -> None:
    owner, taker = order
    book = new_book()
    book.publish(bundle(owner, ca(ONE)), confirmed_at=NOW)
    book.publish(bundle(taker, ca(OTHER)), confirmed_at=NOW)
    book.publish(bundle(taker, ca(OTHER), ca(ONE)), confirmed_at=NOW)
    for trust_domain in order:
        assert f"{taker} came by it last" in refusal(book, trust_domain)
    # A change of its other keys makes nobody the later one.
    book.publish(bundle(owner, ca(ONE), jwt(KEYS["P-384"], "new")), confirmed_at=NOW)
    assert f"{taker} came by it last" in refusal(book, owner)


def test_who_had_it_when_both_were_first_read_nobody_here_can_tell() -> None:
    book = new_book()
    for trust_domain in (A, B):
        book.publish(bundle(trust_domain, ca(ONE)), confirmed_at=NOW)
    assert "both had it when they were first read" in refusal(book, A)


def test_each_change_is_one_line_that_names_both_and_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bridge.spire")
    book = new_book()
    book.publish(bundle(A, ca(ONE)), confirmed_at=NOW)
    book.publish(bundle(B, ca(OTHER)), confirmed_at=NOW)
    for at in range(3):
        book.publish(bundle(B, jwt(ONE, "theirs"), sequence=at), confirmed_at=NOW + at)
        book.publish(bundle(A, ca(ONE)), confirmed_at=NOW + at)
    book.publish(bundle(B), confirmed_at=NOW + 3)
    (key,) = thumbprints(bundle(A, ca(ONE)))
    said = [line for line in caplog.messages if "key" in line]
    begun, ended = said[:2], said[2:]
    for line, (mine, other) in zip(sorted(begun), [(A, B), (B, A)], strict=True):
        assert line.startswith(f"trust bundle of {mine} is refused: it shares key {key}")
        assert f"with {other}; b.example came by it last" in line
        assert 'jwt "theirs"' in line
    assert sorted(ended) == [f"trust bundle of {one} shares no key any more, and is trusted again" for one in (A, B)]


def test_a_kid_is_shown_in_part_and_without_effect_on_whoever_reads_it() -> None:
    keys = SharedKeys()
    keys.hold(bundle(A, jwt(ONE, "\x1b[2J" + "x" * 100_000)))
    keys.hold(bundle(B, jwt(ONE)))
    shared = str(keys.shared_by(B))
    assert shared.isprintable()
    assert len(shared) < 400


def test_sharing_is_noted_beside_the_keys_and_older_notes_are_read_as_they_were() -> None:
    plain, shared = NotedKeys(("ca",), (("k", "d"),)), NotedKeys(("ca",), (("k", "d"),), ("key with b.example",))
    assert json.loads(plain.text()) == {"x509": ["ca"], "jwt": [["k", "d"]]}
    assert (NotedKeys.of_text(plain.text()), NotedKeys.of_text(shared.text())) == (plain, shared)
    assert shared.since(plain)["shared_begun"] == ["key with b.example"]
    assert plain.since(shared)["shared_ended"] == ["key with b.example"]
    assert set(plain.since(NotedKeys())) == {"x509_added", "x509_removed", "jwt_added", "jwt_removed"}


# --- any number of trust domains, in any order, at once ------------------------------------------------

NAMES = [TrustDomain(f"t{number}.example") for number in range(5)]
MATERIAL = [JwtAuthority(f"k{number}", json.dumps({"number": number})) for number in range(4)]


def shares(keys: SharedKeys) -> dict[str, tuple[str, str] | None]:
    """Of each trust domain: which key, with whom."""
    found = {name.name: keys.shared_by(name) for name in NAMES}
    return {name: None if one is None else (one.key, one.other.name) for name, one in found.items()}


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sets(st.sampled_from(range(len(MATERIAL))))), min_size=1, max_size=25)
)
def test_whatever_came_before_what_is_said_follows_from_what_is_held_now(
    steps: list[tuple[TrustDomain, set[int]]],
) -> None:
    """So every worker says the same of the same bundles; and whoever is told of nothing has nothing new."""
    keys, held, known = SharedKeys(), dict[TrustDomain, TrustBundle](), dict[str, tuple[str, str] | None]()
    for name, wanted in steps:
        held[name] = bundle(name, *(MATERIAL[number] for number in sorted(wanted)))
        touched = keys.hold(held[name])
        now = shares(keys)
        assert {one for one in now if now[one] != known.get(one)} <= {name.name, *(one.name for one in touched)}
        known = now
    anew = SharedKeys()
    for one in held.values():
        anew.hold(one)
    assert shares(anew) == known
    for name, mine in held.items():
        others = [theirs for theirs in held.values() if theirs.trust_domain != name]
        overlap = any(thumbprints(mine).keys() & thumbprints(theirs).keys() for theirs in others)
        assert (known[name.name] is not None) is overlap


def test_many_sources_at_once_leave_what_the_last_of_each_said() -> None:
    tracked = [TrackedTrustDomain(name, "file", 3600, 10) for name in NAMES]
    book, barrier = BundleBook(tracked), threading.Barrier(len(NAMES))

    def source(number: int) -> None:
        barrier.wait(20)
        for turn in range(60):
            wanted = MATERIAL[(number + turn) % len(MATERIAL)]
            book.publish(bundle(NAMES[number], wanted), confirmed_at=NOW)
        # At last 0 and 1 share a key; the others have none.
        book.publish(bundle(NAMES[number], *MATERIAL[: 1 if number < 2 else 0]), confirmed_at=NOW)

    threads = [threading.Thread(target=source, args=(number,)) for number in range(len(NAMES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [health(book)[name.name].value for name in NAMES] == ["shared", "shared", "empty", "empty", "empty"]
    revisions = [status.revision for status in book.statuses(NOW)]
    assert len(set(revisions)) == len(NAMES)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_three_with_one_key_are_all_refused_until_two_have_given_it_up(order: tuple[int, int, int]) -> None:
    book, three = new_book(), (A, B, C)
    for one in three:
        book.publish(bundle(one, ca(ONE)), confirmed_at=NOW)
    first, second, last = (three[number] for number in order)
    book.publish(bundle(first), confirmed_at=NOW)
    book.live(first, NOW)
    assert f"with {last}" in refusal(book, second)
    assert f"with {second}" in refusal(book, last)
    book.publish(bundle(second), confirmed_at=NOW)
    book.live(last, NOW)


def test_a_thousand_trust_domains_cost_each_change_its_own_keys() -> None:
    """What is counted is work, not time: the holders that are looked at for one change of one bundle."""
    keys = SharedKeys()
    for number in range(1000):
        name = TrustDomain(f"d{number}.example")
        keys.hold(bundle(name, JwtAuthority("k", json.dumps({"number": number}))))
    assert keys.hold(bundle(TrustDomain("d7.example"), JwtAuthority("k", '{"number":-1}'))) == set()
    assert keys.hold(bundle(TrustDomain("d8.example"), JwtAuthority("k", '{"number": 9}'))) == {
        TrustDomain("d9.example")
    }
