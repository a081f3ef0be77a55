"""What this service shows of itself in TLS: its own X.509-SVID where one is configured, and how that stands."""

from __future__ import annotations

from collections.abc import Callable

from bridge.config import Settings
from bridge.model.errors import StartRefused
from bridge.model.own_svid import OwnSvid
from bridge.model.spiffe_id import SpiffeId
from bridge.observe import metrics
from bridge.observe.readiness import PartState
from bridge.observe.serving_metrics import ServingMetrics
from bridge.spire.endpoint import InvalidEndpoint, WorkloadEndpoint
from bridge.spire.own_identity import OwnIdentity

# So long a worker waits for the first SVID where it has nothing else to show: an agent that starts at the same time,
# an entry that is on its way. With files for the other listener nobody there has to wait for it.
FIRST_SVID_SECONDS = 15.0


def own_endpoint(settings: Settings) -> WorkloadEndpoint | None:
    """Where the own X.509-SVID comes from; None where none is configured. Raises: StartRefused."""
    if settings.tls is None or settings.tls.workload_api is None:
        return None
    try:
        return WorkloadEndpoint.parse(settings.tls.workload_api)
    except InvalidEndpoint as error:
        raise StartRefused([f"tls.workload_api: {error}"]) from error


def own_spiffe_id(settings: Settings) -> SpiffeId | None:
    """Which of its SPIFFE IDs the service shows; None for the default one."""
    named = None if settings.tls is None else settings.tls.spiffe_id
    return None if named is None else SpiffeId.parse_workload(named)


class OwnCertificate:
    """One worker's own SVID and how its listeners' certificates stand. Make it anywhere, `start` it in the worker.

    `observer` knows what the listeners show. Raises: StartRefused for an address that is none.
    """

    def __init__(self, settings: Settings, observer: ServingMetrics, clock: Callable[[], int]) -> None:
        endpoint = own_endpoint(settings)
        self._observer, self._clock = observer, clock
        self._has_files = settings.tls is not None and settings.tls.certificate is not None
        self._identity: OwnIdentity | None = None
        if endpoint is not None:
            self._identity = OwnIdentity(
                endpoint,
                clock,
                spiffe_id=own_spiffe_id(settings),
                observe=lambda fault: metrics.own_svid_fault.set(fault),
            )

    def current(self) -> OwnSvid | None:
        """The SVID in hand; None before the first, and where none is configured."""
        return None if self._identity is None else self._identity.current()

    def start(self) -> None:
        """Begin to ask the agent. Does not wait."""
        if self._identity is not None:
            self._identity.start()

    def wait(self, patience: float) -> None:
        """Wait for the first SVID: where there are files for a listener `patience` seconds, and then that one serves
        alone for now. Raises: StartRefused where there is nothing else to show."""
        if self._identity is None:
            return
        if self._identity.wait(patience if self._has_files else FIRST_SVID_SECONDS) is None and not self._has_files:
            fault = self._identity.state().fault
            self._identity.close()
            raise StartRefused([f"tls.workload_api: no listener has a certificate: {fault}"])

    def refresh_now(self) -> None:
        """Ask the agent again, at once. Does not wait."""
        if self._identity is not None:
            self._identity.refresh_now()

    def close(self) -> None:
        """End the stream."""
        if self._identity is not None:
            self._identity.close()

    def state(self) -> PartState:
        """The part `tls` of readiness. Not ready: a listener whose SVID is not there yet, or has ended. A file that
        has ended, or cannot be read, is said: it was put there by somebody, and whoever calls sees it too."""
        now, ends, faults = self._clock(), self._observer.certificate_ends, self._observer.certificate_faults
        detail: dict[str, object] = {}
        if "file" in ends:
            detail["certificate_ends_in_seconds"] = ends["file"] - now
        if "file" in faults:
            detail["reason"] = faults["file"]
        if self._identity is None:
            return True, detail
        state, ends_at = self._identity.state(), ends.get("svid")
        detail["svid"] = {
            "spiffe_id": None if state.svid is None else str(state.svid.spiffe_id),
            "ends_in_seconds": None if ends_at is None else ends_at - now,
            "confirmed_seconds_ago": None if state.confirmed_at is None else now - state.confirmed_at,
            "reason": faults.get("svid") or state.fault,
        }
        return ends_at is not None and now < ends_at, detail
