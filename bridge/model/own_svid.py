"""The identity that this process itself has from an agent."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.model.spiffe_id import SpiffeId


@dataclass(frozen=True, slots=True)
class OwnSvid:
    """An X.509-SVID of this process with its private key, as it is now; an agent renews it.

    `chain` is DER, leaf first; `key` PKCS#8 DER, and in no text that is made of this: it is for memory alone.
    Units: `not_after` epoch seconds. Not checked: that any bundle is above it, which is for whom it is shown to.
    """

    spiffe_id: SpiffeId
    chain: tuple[bytes, ...]
    key: bytes = field(repr=False)
    not_after: int
