"""What a real SPIRE server issues, held against the rules."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.live.stage import BATCH, BRIDGE, Stage


def test_entries_of_a_real_server_are_held_against_the_rules(stage: Stage) -> None:
    """Of the service only its files are needed."""
    own, service = stage.lab.own, stage.service()
    stage.workload(BATCH)
    written = own.server_command("entry", "show", "-output", "json")
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "policy", "reach", "--entries", "-", "--json", "--policies",
         str(service.directory / "policies")],
        input=written, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    lacking = {row["subject"] for row in found if row["finding"] == "entry-without-rule"}
    assert own.spiffe_id(BRIDGE) in lacking
    assert own.spiffe_id(BATCH) not in lacking
    assert not {name for name in lacking if "/spire/" in name}
