"""Whether whoever once vouched for somebody is trusted still."""

from __future__ import annotations

from bridge.model.identity import PolicySubject
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.verifier import SvidVerifier


class Vouching:
    """A lease is worth no more than whoever vouched for it: a trust domain or an issuer that is taken out of the
    configuration, or whose keys are gone, ends what hangs on it."""

    def __init__(self, svids: SvidVerifier, issuers: PinnedIssuers) -> None:
        self._svids, self._issuers = svids, issuers

    def require(self, subject: PolicySubject, now: int) -> None:
        """That a trust domain or an issuer could vouch for this subject at that time.

        Raises: IssuerUntrusted, EvidenceRejected (BUNDLE_EMPTY), Unavailable.
        """
        if subject.spiffe_id is not None:
            self._svids.require_live(subject.spiffe_id.trust_domain, now=now)
        elif subject.issuer is not None:
            self._issuers.keys(subject.issuer, now=now)
