"""This process as a workload: its own X.509-SVID, renewed by the agent, for as long as the process lives.

The agent states it on a stream under our supervision. What it states is complete: but an agent that is gone, that
knows us no more or sends nonsense takes nothing away that is good, for SPIFFE revokes by letting things end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spiffe._proto import workload_pb2

from bridge.model.own_svid import OwnSvid
from bridge.model.spiffe_id import SpiffeId
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.source import Clock
from bridge.spire.supervised_stream import STREAM_SECONDS, SupervisedStream
from bridge.spire.svids import NoSvid, read_x509_svid

_log = logging.getLogger("bridge.spire")

# The agent is asked anew every `life` seconds. After so many silences it is late, whatever the stream says.
_MISSED_CONFIRMATIONS = 3


@dataclass(frozen=True, slots=True)
class OwnIdentityState:
    """How the own identity stands. `fault` says what is wrong with its source, empty when nothing is.

    Units: `confirmed_at` epoch seconds, when the agent last stated the SVID in hand.
    """

    svid: OwnSvid | None
    confirmed_at: int | None
    fault: str

    def is_good(self, now: int) -> bool:
        """Whether there is an SVID that has not ended."""
        return self.svid is not None and now < self.svid.not_after


class OwnIdentity:
    """Keeps the X.509-SVID of the default identity, or of `spiffe_id`. Thread-safe; each process has its own.

    The last good one stays for as long as there is no newer one, also past its end: whoever is shown an ended
    certificate is told that it has ended. One that has ended never takes the place of one that has not.
    """

    def __init__(
        self,
        endpoint: WorkloadEndpoint,
        clock: Clock,
        *,
        spiffe_id: SpiffeId | None = None,
        life: float = STREAM_SECONDS,
        observe: Callable[[bool], None] = lambda fault: None,
    ) -> None:
        """`life`: seconds after which the agent is asked anew, at the latest. `observe` is told after each word of the
        agent, and each silence, whether something is wrong."""
        self._endpoint, self._clock, self._wanted, self._life = endpoint, clock, spiffe_id, life
        self._observe = observe
        self._condition = threading.Condition()
        self._state = OwnIdentityState(None, None, "")
        self._stream = SupervisedStream(
            "FetchX509SVID",
            workload_pb2.X509SVIDRequest(),
            endpoint,
            what="X.509-SVID",
            life=life,
            received=self._received,
            failed=self._failed,
            not_offered=self._failed,
        )

    def start(self) -> None:
        """Connect, from a thread. The socket need not exist yet."""
        self._stream.start()

    def refresh_now(self) -> None:
        """Ask the agent again, at once. Does not wait."""
        self._stream.refresh_now()

    def close(self) -> None:
        """End stream and thread. The SVID in hand stays. Idempotent."""
        self._stream.close()

    def current(self) -> OwnSvid | None:
        """The SVID in hand; None before the first. Cheap."""
        return self._state.svid

    def wait(self, seconds: float) -> OwnSvid | None:
        """The SVID in hand, once there is one; None when there is none in time."""
        with self._condition:
            self._condition.wait_for(lambda: self._state.svid is not None, seconds)
            return self._state.svid

    def state(self) -> OwnIdentityState:
        """How it stands now."""
        state = self._state
        since = state.confirmed_at
        if not state.fault and since is not None and self._clock() >= since + _MISSED_CONFIRMATIONS * self._life:
            return OwnIdentityState(state.svid, since, self._said("the agent has not confirmed it in time"))
        if not state.fault and state.svid is None:
            return OwnIdentityState(None, None, self._said("the agent has not answered yet"))
        return state

    def _received(self, message: Any) -> None:
        now = self._clock()
        try:
            svid = read_x509_svid(message, self._wanted)
        except NoSvid as error:
            self._failed(str(error))
            return
        held = self._state.svid
        if held is not None and svid.not_after <= now < held.not_after:
            self._failed(f"the agent sent an X.509-SVID of {svid.spiffe_id} that has ended")
            return
        if held is not None and held.spiffe_id != svid.spiffe_id:
            _log.warning("the own identity is now %s, no longer %s", svid.spiffe_id, held.spiffe_id)
        elif self._state.fault:
            _log.info("the own identity %s is confirmed again", svid.spiffe_id)
        # The same object for the same SVID, so that whoever compares sees at once that nothing changed.
        self._settle(OwnIdentityState(held if held == svid else svid, now, ""))

    def _failed(self, reason: str) -> None:
        before = self._state
        fault = self._said(reason)
        if before.fault != fault:
            rest = "there is no earlier one" if before.svid is None else "the one in hand stays"
            _log.warning("the own X.509-SVID cannot be had: %s; %s", fault, rest)
        self._settle(OwnIdentityState(before.svid, before.confirmed_at, fault))

    def _said(self, reason: str) -> str:
        return f"{self._endpoint.address}: {reason}"

    def _settle(self, state: OwnIdentityState) -> None:
        with self._condition:
            self._state = state
            self._condition.notify_all()
        self._observe(bool(state.fault))
