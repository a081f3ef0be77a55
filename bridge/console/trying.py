"""The form that tries a request out: from its fields to the request that policy decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.grants.form import Form
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import BindingMethod
from bridge.policy.cases import BadRequest, Request, request_of
from bridge.policy.vocabulary import GRANTS_AT, VOCABULARIES

FIELDS = ("subject", "issuer", "spiffe_id", "evidence", "door", "grant_type", "scope", "resource", "proved")
# What the choices of the form are: each list is what policies can say, and nothing a client might.
EVIDENCE: Sequence[str] = sorted({kind.value for one in VOCABULARIES.values() for kind in one.evidence})
DOORS: Sequence[str] = [door.value for door in GRANTS_AT]
GRANT_TYPES: Sequence[str] = sorted({grant_type for one in GRANTS_AT.values() for grant_type in one})
# "" is every key that the evidence can prove; NO_KEY none.
NO_KEY = "none"
PROVED: Sequence[str] = (NO_KEY, *(method.value for method in BindingMethod))


def fields_of(query: Form) -> Mapping[str, str]:
    """What was filled in, by field. A resource comes as a form's parameter of that name does."""
    given = {name: (query.get(name) or "").strip() for name in FIELDS if name != "resource"}
    return {**given, "resource": " ".join(query.resources)}


def tried_request(fields: Mapping[str, str]) -> Request:
    """The request that the fields describe. Raises: BadRequest with what is wrong, in words."""
    if not fields["subject"] and not fields["issuer"] and fields["evidence"] != EvidenceKind.PUSHED:
        raise BadRequest("say a subject, or the evidence of a pushed client")
    for name, known in (("evidence", EVIDENCE), ("door", DOORS), ("grant_type", GRANT_TYPES), ("proved", PROVED)):
        if fields[name] and fields[name] not in known:
            raise BadRequest(f"{name} is one of: {', '.join(known)}")
    proved = None if not fields["proved"] else () if fields["proved"] == NO_KEY else (fields["proved"],)
    return request_of(
        subject=fields["subject"] or None,
        issuer=fields["issuer"] or None,
        spiffe_id=fields["spiffe_id"] or None,
        evidence=fields["evidence"] or None,
        door=fields["door"] or None,
        grant_type=fields["grant_type"] or None,
        scopes=(fields["scope"],),
        resources=fields["resource"].split(),
        proved=proved,
    )
