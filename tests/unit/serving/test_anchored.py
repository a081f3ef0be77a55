"""The context that asks for client certificates follows the anchors: what is new at once, what is gone in time."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
from serving_pki import authority

from bridge.serving.anchored import AnchoredContext
from bridge.serving.tls import UnfitCertificate, read_certificate

_LONG = 3600.0
_MOST_STEPS = 10_000


class Steady:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Followed:
    """A context, the certificate that it shows, and the anchors that it is to hold."""

    def __init__(self, tls_options) -> None:
        self.steady = Steady()
        self.context = AnchoredContext(self.steady)
        self.files = tls_options.certificate, tls_options.private_key
        self.shown = read_certificate(*self.files)
        self.revision = 0

    def follow(self, *anchors: bytes) -> float | None:
        """One step, after the anchors became these."""
        self.revision += 1
        return self.step(*anchors)

    def step(self, *anchors: bytes) -> float | None:
        return self.context.follow(self.shown, (self.revision, anchors))

    def finish(self, *anchors: bytes) -> None:
        """Steps until there is nothing more to do now."""
        for _ in range(_MOST_STEPS):
            if self.step(*anchors) is None:
                return
        pytest.fail("it comes to no end")

    @property
    def held(self) -> set[bytes]:
        context = self.context.context
        assert isinstance(context, ssl.SSLContext)
        return set(context.get_ca_certs(binary_form=True))


@pytest.fixture
def followed(tls_options):
    return Followed(tls_options)


@pytest.fixture(scope="module")
def roots():
    return [authority(f"trust domain {number}").der for number in range(4)]


def test_the_first_step_takes_in_everything(followed, roots):
    assert followed.context.context is None
    assert followed.follow(*roots) is None
    assert followed.held == set(roots)


def test_a_new_anchor_goes_into_the_context_in_use(followed, roots):
    followed.follow(*roots[:3])
    before = followed.context.context
    followed.follow(*roots)
    followed.finish(*roots)
    assert followed.context.context is before
    assert followed.held == set(roots)


def test_an_anchor_that_is_gone_is_in_no_later_context(followed, roots):
    followed.follow(*roots)
    before = followed.context.context
    followed.follow(*roots[1:])
    followed.finish(*roots[1:])
    assert followed.context.context is not before
    assert followed.held == set(roots[1:])


def test_an_anchor_that_came_while_another_went_is_there_before_the_other_is_gone(followed, roots):
    followed.follow(*roots[:3])
    before = followed.context.context
    followed.follow(*roots[1:])
    if followed.context.context is before:
        assert roots[3] in followed.held
    followed.finish(*roots[1:])
    assert followed.held == set(roots[1:])


def test_contexts_are_not_made_anew_for_one_loss_after_the_other(followed, roots):
    """What one cost is rested for; then all that went meanwhile goes together."""
    followed.follow(*roots)
    followed.follow(*roots[1:])
    followed.finish(*roots[1:])
    first = followed.context.context
    for left in (roots[2:], roots[3:]):
        followed.follow(*left)
        followed.finish(*left)
    assert followed.context.context is first
    assert followed.held == set(roots[1:])
    followed.steady.now += _LONG
    followed.finish(*roots[3:])
    assert followed.held == {roots[3]}


def test_a_renewed_certificate_is_shown_without_a_rest_and_nothing_that_came_meanwhile_is_lost(followed, roots):
    followed.follow(*roots[:3])
    before = followed.context.context
    followed.shown = replace(followed.shown, not_after=followed.shown.not_after + 1)
    followed.follow(*roots)
    followed.finish(*roots)
    assert followed.context.context is not before
    assert followed.held == set(roots)


def test_a_certificate_that_differs_in_nothing_that_is_known_of_it_counts_as_another(followed, roots):
    followed.follow(*roots)
    before = followed.context.context
    followed.shown = read_certificate(*followed.files)
    followed.finish(*roots)
    assert followed.context.context is not before


def test_what_is_no_certificate_is_left_out_and_said(followed, roots, caplog):
    good, broken = roots[0], b"no certificate"
    followed.follow(good)
    assert "left out" not in caplog.text
    followed.follow(good, broken)
    followed.finish(good, broken)
    assert followed.held == {good}
    assert "trust anchors that OpenSSL cannot read were left out: 1" in caplog.text


def test_files_that_cannot_be_read_again_keep_the_context_which_goes_on_following(followed, roots):
    followed.follow(*roots[:2])
    before, key = followed.context.context, followed.files[1].read_bytes()
    followed.shown = read_certificate(*followed.files)
    followed.files[1].write_bytes(b"")
    with pytest.raises(UnfitCertificate):
        followed.step(*roots[:2])
    followed.follow(*roots)
    followed.finish(*roots)
    assert followed.context.context is before
    assert followed.held == set(roots)
    followed.files[1].write_bytes(key)
    followed.steady.now += _LONG
    followed.finish(*roots)
    assert followed.context.context is not before
    assert followed.held == set(roots)
