"""Where a client may be answered and what it may ask a user for, and who says so (ROFU-14, 15, 19; T-30, T-45).

A redirect URI is trusted when policy lists it for this identity, or when the client's document or statement does;
where both list some, only what both list. A workload that described itself to nobody is asked nothing: its rule
says everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.metadata.redirect_matching import is_listed, narrowed
from bridge.model.client import ClientKind, ClientRecord
from bridge.model.errors import GrantNotAllowed, RedirectUriRejected
from bridge.model.metadata import ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.terms import Terms


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of a client as far as the code flow hangs on it, under the terms of one rule.

    `listed` are the redirect URIs as they were said, `redirect_uris` the trusted ones. `grant_types`: those it said
    it uses, None where it said nothing.
    """

    metadata: Mapping[str, object]
    listed: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...] | None

    def require_redirect(self, asked: str) -> None:
        """That this redirect URI is a trusted one. Raises: RedirectUriRejected."""
        if not is_listed(asked, self.redirect_uris):
            raise RedirectUriRejected(Reason.REDIRECT_URI_MISMATCH, "nobody lists it for this client")

    def require_grant_type(self, grant_type: str) -> None:
        """That the client did not say that it has no use for it. Raises: GrantNotAllowed."""
        if self.grant_types is not None and grant_type not in self.grant_types:
            raise GrantNotAllowed(Reason.POLICY_GRANT_TYPE, f"the client registered without {grant_type}")


def of_document(metadata: ClientMetadata, terms: Terms | None) -> Description:
    """A client known by a document: what that lists, narrowed by the rule where it lists some (CIMD-17). `terms`
    None: before policy was asked."""
    listed = metadata.texts("redirect_uris") or ()
    narrower = () if terms is None else terms.redirect_uris
    return Description(metadata.members, listed, narrowed(listed, narrower), metadata.texts("grant_types"))


def of_pushed(metadata: ClientMetadata, asked: str, terms: Terms) -> Description:
    """A client that exists for this transaction: its metadata is its registration (PCR-8, PCR-26). What it asks for
    counts as listed where it lists nothing."""
    listed = metadata.texts("redirect_uris")
    uris = (asked,) if listed is None else listed
    return Description(metadata.members, uris, narrowed(uris, terms.redirect_uris), metadata.texts("grant_types"))


def of_record(record: ClientRecord | None, terms: Terms) -> Description:
    """A client with a record, or with none yet.

    One that registered with a statement has said what it uses: what a statement stated holds where the rule lists
    nothing; what the client itself said, only as far as the rule lists it still. One that came by first use
    recorded what its rule said that day, and its rule is asked anew. So is that of one identity of many that
    share a client: the record's URIs are those of whoever came first.
    """
    if record is None or record.kind is ClientKind.SHARED or not record.provenance.statement_digest:
        # Nor is what was recorded then a description: a consent hangs on it, and the first one is given before there
        # is a record.
        return Description({}, terms.redirect_uris, terms.redirect_uris, None)
    metadata = ClientMetadata(record.metadata)
    said = metadata.texts("redirect_uris")
    if not said:
        said = trusted = terms.redirect_uris
    elif terms.redirect_uris or "redirect_uris" in record.provenance.stated:
        trusted = narrowed(said, terms.redirect_uris)
    else:
        trusted = ()
    return Description(record.metadata, said, trusted, metadata.texts("grant_types"))
