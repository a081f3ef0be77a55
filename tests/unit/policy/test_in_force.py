"""Which files a new version is made of: what the audit row of a change names."""

from __future__ import annotations

import pytest

from bridge.policy.folder import PolicyDefaults, PolicyFolder
from bridge.policy.in_force import PolicyInForce
from tests.unit.policy.policy_folders import CATALOGUE, HEADERS, Policies, rule

NET = HEADERS["example.org.toml"].replace("example.org", "example.net")
BROKEN = "version = 1\nnonsense\n"


@pytest.fixture
def force(policies: Policies) -> PolicyInForce:
    policies.rules(rule())
    policies.write("example.net.toml", NET + rule("net"))
    return PolicyInForce(PolicyFolder(policies.path, PolicyDefaults()))


def test_a_version_names_the_files_that_brought_it(policies: Policies, force: PolicyInForce) -> None:
    assert force.changed_files == ()
    policies.rules(rule("another"))
    assert force.look()
    assert force.changed_files == ("example.org.toml",)
    policies.write("example.net.toml", NET + rule("net2"))
    policies.write("catalogue.toml", CATALOGUE + "\n")
    assert force.look()
    assert force.changed_files == ("catalogue.toml", "example.net.toml")


def test_a_file_taken_away_is_named(policies: Policies, force: PolicyInForce) -> None:
    (policies.path / "example.net.toml").unlink()
    assert force.look()
    assert force.changed_files == ("example.net.toml",)


def test_a_faulty_file_is_named_when_it_acts_and_not_before(policies: Policies, force: PolicyInForce) -> None:
    before = force.current.version
    policies.write("example.net.toml", BROKEN)
    assert force.look()
    assert (force.faulty_files, force.current.version, force.changed_files) == (("example.net.toml",), before, ())
    policies.rules(rule("another"))
    assert force.look()
    assert force.changed_files == ("example.org.toml",)
    policies.write("example.net.toml", NET + rule("net2"))
    assert force.look()
    assert (force.faulty_files, force.changed_files) == ((), ("example.net.toml",))


def test_looking_again_at_files_that_stayed_brings_no_version(force: PolicyInForce) -> None:
    before = force.current
    force.forget()
    assert force.look()
    assert force.current is before
    assert force.changed_files == ()
