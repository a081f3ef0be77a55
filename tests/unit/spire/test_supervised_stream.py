"""One stream under supervision: which of its ends are faults. The agent is the lab's, the stream's clock is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from spiffe._proto import workload_pb2

from bridge.lab.authority import Authority
from bridge.lab.workload_api import WorkloadApi
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.supervised_stream import SupervisedStream
from tests.live.processes import wait_until

DEADLINE = 20.0
LIFE = 60.0


class Supervised:
    """A stream of JWT bundles, what it told, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.api = WorkloadApi(Authority("example.org"), folder / "a.sock", identities=["/bridge"]).start()
        self.now, self.messages, self.faults = 1000.0, 0, list[str]()
        self.stream = SupervisedStream(
            "FetchJWTBundles",
            workload_pb2.JWTBundlesRequest(),
            WorkloadEndpoint.parse(self.api.address),
            what="jwt bundle",
            life=LIFE,
            received=self._received,
            failed=self.faults.append,
            not_offered=self.faults.append,
            clock=lambda: self.now,
        )

    def _received(self, message: object) -> None:
        self.messages += 1

    def wait_for_messages(self, number: int) -> None:
        wait_until(lambda: self.messages >= number, seconds=DEADLINE, what=f"message {number}")


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    made.stream.start()
    yield made
    made.stream.close()
    made.api.stop()


def test_a_stream_that_the_agent_ends_when_its_time_is_over_is_opened_anew_and_nothing_is_wrong(
    supervised: Supervised,
) -> None:
    supervised.wait_for_messages(1)
    supervised.now += LIFE - 0.1
    supervised.api.finish_streams()
    supervised.wait_for_messages(2)
    assert supervised.faults == []


def test_a_stream_that_the_agent_ends_before_its_time_is_a_fault_until_the_next_one_answers(
    supervised: Supervised,
) -> None:
    """The twin: an agent that ends each stream at once would be asked without a pause."""
    supervised.wait_for_messages(1)
    supervised.api.finish_streams()
    supervised.wait_for_messages(2)
    assert supervised.faults == ["the agent ended the jwt bundle stream"]
