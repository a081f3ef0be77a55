"""What the console calls: one object, made by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.console.operators import Access
from bridge.console.origins import Origins
from bridge.model.bundle import BundleStatus
from bridge.observe.readiness import Readiness
from bridge.policy.in_force import PolicyInForce
from bridge.registration.seen_documents import SeenDocument
from bridge.store.ports import RegistrationLimits, Store

if TYPE_CHECKING:
    from bridge.console.sign_in import BySignIn


class ConsoleObserver(Protocol):
    """Gets to know each answer and each refusal."""

    def answered(self, endpoint: str, status: int, seconds: float) -> None: ...
    def refused(self, door: str, error: Exception, correlation_id: str, source_address: str) -> None: ...
    def failed(self, endpoint: str, correlation_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """Everything that pages of the console call.

    `issuer` is the service's name, `access` and `origins` say who may come in and under which name, and `form_key` (32
    bytes) is for forms alone. `bundles` gives how trust domains stand at a time, as this worker sees them; `places`
    where each comes from. `limits` gives those of a trust domain, or of clients without one. `periods` are those of the
    configuration, in seconds, by key; `look_at` has the document at a client's URL fetched (it may raise
    EvidenceRejected and Unavailable). `sign_in` is `access` where operators sign in. `clock` gives epoch seconds.
    """

    issuer: str
    access: Access
    origins: Origins
    store: Store
    policies: PolicyInForce
    bundles: Callable[[int], Sequence[BundleStatus]]
    places: Mapping[str, str]
    limits: Callable[[str | None], RegistrationLimits]
    periods: Mapping[str, int]
    readiness: Callable[[], Readiness]
    look_at: Callable[[str], SeenDocument]
    observer: ConsoleObserver
    form_key: bytes
    new_id: Callable[[], str]
    clock: Callable[[], int]
    sign_in: BySignIn | None = None
