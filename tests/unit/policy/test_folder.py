"""Loading again and again: what is kept when a file goes wrong, and what counts as a change (T-48)."""

from __future__ import annotations

import gc
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.files.paths import fingerprint_folder
from bridge.model.errors import StartRefused
from bridge.model.terms import Effect
from bridge.policy.folder import Loaded, PolicyDefaults, PolicyFolder, check_folder
from tests.unit.policy.policy_folders import CATALOGUE, HEADERS, Policies, decide, rule, wants, workload

ELSEWHERE = workload("spiffe://example.net/ns/web/sa/api")


def other_domain(rules: str) -> str:
    return HEADERS["example.org.toml"].replace("example.org", "example.net") + rules


def effect(loaded: Loaded, path: str = "/ns/web/sa/api") -> Effect:
    return decide(loaded.policy_set, workload(path), wants("ledger.read")).effect


@pytest.fixture
def folder(policies: Policies) -> PolicyFolder:
    """A folder that has been loaded once, with rules for two trust domains."""
    policies.rules(rule())
    policies.write("example.net.toml", other_domain(rule("net")))
    folder = PolicyFolder(policies.path, PolicyDefaults())
    assert folder.load().findings == ()
    return folder


def test_a_changed_file_acts_and_changes_the_version(policies: Policies, folder: PolicyFolder) -> None:
    before = folder.load()
    policies.rules(rule(when='path = "/ns/mail/sa/*"'))
    after = folder.load()
    assert (effect(before), effect(after)) == (Effect.ALLOW, Effect.DENY)
    assert effect(after, "/ns/mail/sa/x") is Effect.ALLOW
    assert before.policy_set.version != after.policy_set.version


def test_nothing_changed_is_the_same_set(folder: PolicyFolder) -> None:
    assert folder.load().policy_set is folder.load().policy_set


def test_the_version_is_that_of_the_contents(policies: Policies, folder: PolicyFolder) -> None:
    first = folder.load().policy_set.version
    policies.rules(rule("another"))
    assert folder.load().policy_set.version != first
    policies.rules(rule())
    assert folder.load().policy_set.version == first
    checked = check_folder(policies.path, PolicyDefaults()).policy_set
    assert checked is not None
    assert checked.version == first


def test_a_faulty_file_keeps_its_own_last_good_version(policies: Policies, folder: PolicyFolder) -> None:
    """T-48: the other file's change acts all the same."""
    policies.rules(rule().replace("why", "wy"))
    policies.write("example.net.toml", other_domain(rule("net", scopes='"ledger.write"')))
    loaded = folder.load()
    assert {f.code for f in loaded.findings} == {"unknown-key", "missing-why"}
    assert effect(loaded) is Effect.ALLOW
    assert decide(loaded.policy_set, ELSEWHERE, wants("ledger.write")).effect is Effect.ALLOW
    policies.rules(rule(when='path = "/ns/mail/sa/*"'))
    assert folder.load().findings == ()
    assert effect(folder.load()) is Effect.DENY


def test_a_new_file_with_an_error_is_left_out(policies: Policies, folder: PolicyFolder) -> None:
    policies.rules(rule("p", when="", bind=None).replace("why", "wy"), "pushed.toml")
    loaded = folder.load()
    assert {f.file for f in loaded.findings} == {"pushed.toml"}
    assert effect(loaded) is Effect.ALLOW


@pytest.mark.parametrize("content", ["version = ", HEADERS["example.org.toml"] + "\udcff", "[" * 5000])
def test_bytes_that_are_no_policy_are_a_finding(policies: Policies, folder: PolicyFolder, content: str) -> None:
    (policies.path / "example.org.toml").write_bytes(content.encode("utf-8", "surrogateescape"))
    loaded = folder.load()
    assert [(f.file, f.code) for f in loaded.findings] == [("example.org.toml", "syntax")]
    assert effect(loaded) is Effect.ALLOW


def test_a_file_that_cannot_be_read_keeps_its_last_good_version(policies: Policies, folder: PolicyFolder) -> None:
    (policies.path / "example.org.toml").unlink()
    (policies.path / "example.org.toml").mkdir()
    loaded = folder.load()
    assert [f.code for f in loaded.findings] == ["unreadable"]
    assert effect(loaded) is Effect.ALLOW


def test_a_removed_file_takes_its_rules_along(policies: Policies, folder: PolicyFolder) -> None:
    (policies.path / "example.org.toml").unlink()
    loaded = folder.load()
    assert loaded.findings == ()
    assert effect(loaded) is Effect.DENY


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("net", "r", "duplicate-id"),
        ('net", client = { shared = "net" }', 'net", client = { shared = "org" }', "shared-id"),
    ],
)
def test_an_error_across_files_keeps_the_whole_old_set(
    policies: Policies, folder: PolicyFolder, good: str, bad: str, code: str
) -> None:
    def net(text: str) -> str:
        name, _, client = text.partition('", ')
        return other_domain(rule(name, scopes='"ledger.write"', more=client))

    policies.rules(rule(more='client = { shared = "org" }'))
    before = folder.load()
    policies.rules(rule(when='path = "/ns/mail/sa/*"', more='client = { shared = "org" }'))
    policies.write("example.net.toml", net(bad))
    loaded = folder.load()
    assert {f.code for f in loaded.findings} == {code}
    assert loaded.policy_set is before.policy_set
    policies.write("example.net.toml", net(good))
    loaded = folder.load()
    assert loaded.findings == ()
    assert effect(loaded) is Effect.DENY
    assert decide(loaded.policy_set, ELSEWHERE, wants("ledger.write")).effect is Effect.ALLOW


def test_a_faulty_catalogue_keeps_its_last_good_version(policies: Policies, folder: PolicyFolder) -> None:
    policies.write("catalogue.toml", CATALOGUE.replace("version = 1", "version = 2"))
    policies.rules(rule(when='path = "/ns/mail/sa/*"'))
    loaded = folder.load()
    assert {f.file for f in loaded.findings} == {"catalogue.toml"}
    assert effect(loaded) is Effect.DENY
    (policies.path / "catalogue.toml").unlink()
    assert {f.code for f in folder.load().findings} == {"missing-file"}


def test_a_catalogue_that_lost_a_scope_in_use_keeps_the_whole_old_set(policies: Policies, folder: PolicyFolder) -> None:
    before = folder.load()
    policies.write("catalogue.toml", CATALOGUE.replace('"ledger.read" = "Read", ', ""))
    loaded = folder.load()
    assert {f.code for f in loaded.findings} == {"unknown-scope"}
    assert loaded.policy_set is before.policy_set
    policies.write("catalogue.toml", CATALOGUE.replace('"mail.read" = "Read"', '"mail.list" = "List"'))
    loaded = folder.load()
    assert loaded.findings == ()
    assert "mail.list" in loaded.policy_set.scopes()


def test_a_warning_loads(policies: Policies, folder: PolicyFolder) -> None:
    policies.rules(rule() + rule("d", effect="deny"))
    loaded = folder.load()
    assert [f.code for f in loaded.findings] == ["fully-denied"]
    assert effect(loaded) is Effect.DENY


def test_a_folder_that_went_away_keeps_the_old_set(policies: Policies, folder: PolicyFolder) -> None:
    before = folder.load()
    policies.path.rename(policies.path.with_name("elsewhere"))
    loaded = folder.load()
    assert [f.code for f in loaded.findings] == ["unreadable"]
    assert loaded.policy_set is before.policy_set


def test_any_error_at_the_start_is_no_start_and_all_are_told(policies: Policies) -> None:
    policies.rules(rule().replace("why", "wy"))
    policies.rules(rule("p", when="", bind="x5t#S256"), "pushed.toml")
    with pytest.raises(StartRefused) as refused:
        PolicyFolder(policies.path, PolicyDefaults()).load()
    assert {fault.split(":")[0] for fault in refused.value.faults} == {"example.org.toml", "pushed.toml"}
    policies.rules(rule())
    policies.rules("", "pushed.toml")
    assert PolicyFolder(policies.path, PolicyDefaults()).load().findings == ()


def test_no_folder_at_the_start_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(StartRefused):
        PolicyFolder(tmp_path / "nowhere", PolicyDefaults()).load()


def test_a_start_with_warnings_is_a_start(policies: Policies) -> None:
    policies.rules(rule() + rule("d", effect="deny"))
    assert [f.code for f in PolicyFolder(policies.path, PolicyDefaults()).load().findings] == ["fully-denied"]


def test_what_is_no_policy_file_is_left_alone(policies: Policies, folder: PolicyFolder) -> None:
    for name in (".example.org.toml.swp", ".hidden.toml", "README.md", "schema.json"):
        (policies.path / name).write_text("not a policy", encoding="utf-8")
    (policies.path / "tests").mkdir()
    (policies.path / "tests" / "x.cases.toml").write_text("not a case", encoding="utf-8")
    assert folder.load().findings == ()


def test_a_swapped_link_is_a_change_and_acts(folder: PolicyFolder, tmp_path: Path) -> None:
    """As Kubernetes swaps a ConfigMap: the names stay, the link behind them moves."""
    mount = tmp_path / "mount"
    mount.mkdir()
    for name, text in (("..one", rule()), ("..two", rule(when='path = "/ns/mail/sa/*"'))):
        (mount / name).mkdir()
        (mount / name / "catalogue.toml").write_text(CATALOGUE, encoding="utf-8")
        (mount / name / "example.org.toml").write_text(HEADERS["example.org.toml"] + text, encoding="utf-8")
    (mount / "..data").symlink_to("..one")
    for name in ("catalogue.toml", "example.org.toml"):
        (mount / name).symlink_to(f"..data/{name}")
    mounted = PolicyFolder(mount, PolicyDefaults())
    assert effect(mounted.load()) is Effect.ALLOW
    seen = fingerprint_folder(mount, "*.toml")
    (mount / "..next").symlink_to("..two")
    os.replace(mount / "..next", mount / "..data")
    assert fingerprint_folder(mount, "*.toml") != seen
    assert effect(mounted.load()) is Effect.DENY


def test_rules_may_be_split_over_files_and_files_named_in_any_order(folder: PolicyFolder) -> None:
    ids = [r.id for r in folder.load().policy_set.rules]
    assert ids == sorted(ids)


def test_ten_thousand_rules_load_while_another_thread_decides_and_computes(policies: Policies) -> None:
    """A reload happens beside requests. The old set answers until the new one is whole, and both answer right."""
    many = 10_000
    policies.rules(rule())
    folder = PolicyFolder(policies.path, PolicyDefaults())
    old = folder.load().policy_set
    policies.rules("".join(rule(f"r{n}", when=f'path = "/ns/n{n}/sa/*"') for n in range(many)))
    begun, done = threading.Event(), threading.Event()

    def work() -> tuple[int, set[tuple[str | None, str]]]:
        rounds, answers, digest = 0, set(), b""
        while not done.is_set():
            decision = decide(old, workload(), wants("ledger.read"))
            answers.add((decision.rule, decision.policy_version))
            digest = hashlib.sha256(digest * 100).digest()
            rounds += 1
            begun.set()
        return rounds, answers

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            assert begun.wait(30)
            loaded = folder.load()
        finally:
            done.set()
        rounds, answers = working.result(30)
    assert loaded.findings == ()
    assert len(loaded.policy_set.rules) == many
    assert (rounds > 0, answers) == (True, {("r", old.version)})
    assert loaded.policy_set.version != old.version
    for number in (0, 4_999, many - 1):
        asked = decide(loaded.policy_set, workload(f"/ns/n{number}/sa/x"), wants("ledger.read"))
        assert (asked.effect, asked.rule) == (Effect.ALLOW, f"r{number}")
    assert effect(loaded) is Effect.DENY
    assert gc.isenabled()
