"""Decisions over ten and over ten thousand rules, and loading the latter."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask, Effect
from bridge.policy.evaluate import PolicySet
from bridge.policy.folder import PolicyDefaults, PolicyFolder
from tests.bench.figure import Figure
from tests.bench.service import FOLDER
from tests.flows.stand import CATALOGUE, LEDGER

MANY = 10_000


def policy_figures(quick: bool) -> Iterator[Figure]:
    """In one process, without the service around."""
    times = {}
    for rules in (10, MANY):
        folder = _folder(rules)
        try:
            began = time.perf_counter()
            policy_set = PolicyFolder(folder, PolicyDefaults()).load().policy_set
            loaded = time.perf_counter() - began
        finally:
            shutil.rmtree(folder)
        times[rules] = _decide(policy_set, rules, 2_000 if quick else 20_000)
    yield Figure(f"decision over {MANY:,} rules: p50", times[MANY] * 1e6, "us", 10)
    yield Figure(
        f"decision over {MANY:,} rules beside 10", times[MANY] / times[10], "times", 2, note="p50, the same run"
    )
    yield Figure(f"loading {MANY:,} rules", loaded, "s", 2)


def _folder(rules: int) -> Path:
    folder = FOLDER / f"policies-{rules}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "catalogue.toml").write_text(CATALOGUE)
    text = ['version = 1\nsource = "spiffe"\ntrust_domain = "example.org"\n']
    text += [
        f'[[rule]]\nid = "r{n}"\nwhy = "bench"\neffect = "allow"\nwhen = {{ path = "/ns/n{n}/sa/*" }}\n'
        f'grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present" }}\n'
        for n in range(rules)
    ]
    (folder / "example.org.toml").write_text("\n".join(text))
    return folder


def _decide(policy_set: PolicySet, rules: int, rounds: int) -> float:
    subjects = [
        PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, SpiffeId.parse(f"spiffe://example.org/ns/n{n}/sa/a"))
        for n in range(0, rules, max(1, rules // 500))
    ]
    ask, proved = Ask(Door.TOKEN, "client_credentials", ("ledger.read",)), frozenset[BindingMethod]()
    taken = []
    for place in range(rounds):
        subject = subjects[place % len(subjects)]
        began = time.perf_counter()
        decision = policy_set.decide(subject, ask, proved=proved)
        taken.append(time.perf_counter() - began)
        if decision.effect is not Effect.ALLOW:
            raise AssertionError(decision.because)
    return median(taken)
