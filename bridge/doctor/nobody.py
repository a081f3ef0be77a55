"""A store in which nobody is yet: before the first start of a service there is none to look into."""

from __future__ import annotations

from bridge.model.client import ClientRecord, ProposedClient
from bridge.model.identity import Marker
from bridge.store.ports import Ensured, Found, RegistrationLimits


class NobodyYet:
    """Answers as an empty store would. See `foresight.Records` and `foresight.Marks`."""

    def find(
        self, client_id: str, *, subject: str, member: str | None = None, terms: tuple[str, str] | None = None
    ) -> Found:
        """No record, no denial, no approval."""
        return Found(None, None, False)

    def get(self, client_id: str) -> ClientRecord | None:
        """None."""
        return None

    def foresee(self, proposed: ProposedClient, *, limits: RegistrationLimits, now: int) -> Ensured | None:
        """There is room for the first one."""
        return None

    def is_claimed(self, marker: Marker) -> bool:
        """Nothing was used."""
        return False
