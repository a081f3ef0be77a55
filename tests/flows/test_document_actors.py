"""Workloads that act for a document by their JWT-SVIDs: whom it names, whom the rule names, and who stops them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.lab.jws import JwtKey
from tests.flows.client import JWT_BEARER, JWT_SPIFFE
from tests.flows.documented import WEB, Documented

INVALID = (401, "invalid_client")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documented]:
    running = Documented(tmp_path_factory.mktemp("library") / "service")
    yield running
    running.close()


@pytest.fixture(scope="module")
def key() -> JwtKey:
    return JwtKey.generate("ES256", kid="own-1")


def test_an_svid_acts_for_the_document_that_names_it(library: Documented) -> None:
    """SCA-11, SCA-32: `sub` is the concrete SPIFFE ID, `client_id` the URL; so in the audit row."""
    url = library.shelf.publish("/agents/acted", spiffe_id=f"{WEB}/*")
    claims = library.acting("/ns/web/sa/planner", url).claims
    assert (claims["client_id"], claims["sub"]) == (url, f"{WEB}/planner")
    issued = library.rows_of(url)[-1]
    assert (issued.event.value, issued.subject, issued.evidence) == ("token_issued", f"{WEB}/planner", "jwt-svid")
    assert library.acting("/ns/web/sa/coder", url).claims["sub"] == f"{WEB}/coder"
    assert library.records()[url].identities == 2


def test_naming_nothing_or_the_spiffe_id_is_the_spiffe_ids_own_client(library: Documented) -> None:
    url = library.shelf.publish("/agents/either", spiffe_id=f"{WEB}/either")
    own = f"{WEB}/either"
    for fields, client in (({}, own), ({"client_id": own}, own), ({"client_id": url}, url)):
        assert library.by_jwt("/ns/web/sa/either", **fields).claims["client_id"] == client
    assert {own, url} <= set(library.records())


def test_an_svid_may_come_under_either_type_of_assertion(library: Documented) -> None:
    url = library.shelf.publish("/agents/typing", spiffe_id=f"{WEB}/typing", token_endpoint_auth_method="spiffe_jwt")
    for kind in (JWT_SPIFFE, JWT_BEARER):
        assert library.acting("/ns/web/sa/typing", url, client_assertion_type=kind).claims["client_id"] == url


def test_a_document_is_acted_for_only_by_whom_it_names(library: Documented, key: JwtKey) -> None:
    """SCA-11, SCA-13: absent `spiffe_id` and another one are both `invalid_client`, and audited."""
    named = library.shelf.publish("/agents/exact", spiffe_id=f"{WEB}/exact")
    mute = library.shelf.keyed("/agents/mute", key)
    assert library.acting("/ns/web/sa/exact", named).status == 200
    assert library.acting("/ns/web/sa/exact-not", named).error == INVALID
    assert library.acting("/ns/web/sa/exact", mute).error == INVALID
    refused = library.rows_of(mute)[-1]
    assert (refused.event.value, refused.subject, refused.door) == ("refused", f"{WEB}/exact", "token")


def test_what_is_no_url_stands_in_no_audit_row(library: Documented) -> None:
    """However long it is: the identity that sends it is the row's subject, and chose it."""
    row = library.last_row()
    assert library.acting("/ns/web/sa/rambling", "https://" + "x" * 5000).error == INVALID
    (refused,) = library.process.worker._store.audit.rows(after=row, limit=9)
    assert (refused.event.subject, refused.event.client_id) == (f"{WEB}/rambling", "")


def test_a_document_cannot_let_in_whom_the_rule_does_not(library: Documented) -> None:
    """SCA-30: whatever the document says of a trust domain; and nothing is fetched to hear it (CIMD-24)."""
    greedy = library.shelf.publish("/agents/greedy", spiffe_id="spiffe://example.org/*")
    assert library.acting("/ns/payments/sa/x", greedy).error == INVALID
    assert library.shelf.counts[greedy] == 0
    assert library.acting("/ns/web/sa/x", greedy).status == 200
    machine = library.shelf.publish("/machines/none", spiffe_id=f"{WEB}/*")
    assert library.acting("/ns/web/sa/x", machine).error == INVALID


def test_a_deny_of_the_trust_domain_follows_the_spiffe_id_to_its_documents(library: Documented) -> None:
    url = library.shelf.publish("/agents/denied-actor", spiffe_id=f"{WEB}/*")
    assert library.acting("/ns/web/sa/intruder", url).error == INVALID
    assert library.acting("/ns/web/sa/friend", url).status == 200
    refused = next(row for row in library.rows_of(url) if row.subject == f"{WEB}/intruder")
    assert (refused.rule, refused.reason) == ("no-intruder", "policy_deny_rule")


def test_a_tombstone_of_the_spiffe_id_stops_both_of_its_clients_and_no_other(library: Documented) -> None:
    url = library.shelf.publish("/agents/tombed", spiffe_id=f"{WEB}/*")
    token = library.acting("/ns/web/sa/tombed", url).body["access_token"]
    other = library.acting("/ns/web/sa/alive", url).body["access_token"]
    assert library.operate("clients", "deny", f"{WEB}/tombed")[0] == 0
    assert not library.is_active(token)
    assert library.is_active(other)
    assert library.acting("/ns/web/sa/tombed", url).error == INVALID
    assert library.by_jwt("/ns/web/sa/tombed").error == INVALID
    assert library.acting("/ns/web/sa/alive", url).status == 200
    assert library.operate("clients", "undeny", f"{WEB}/tombed")[0] == 0
    assert library.acting("/ns/web/sa/tombed", url).status == 200


def test_a_certificate_names_its_own_spiffe_id_and_no_url_SCA_15(library: Documented) -> None:
    url = library.shelf.publish("/agents/certified", spiffe_id=f"{WEB}/*")
    svid = library.stand.authority.x509_svid("/ns/web/sa/certified")
    assert library.by_x509(svid).claims["client_id"] == f"{WEB}/certified"
    assert library.by_x509(svid, client_id=url).error == INVALID
    assert library.shelf.counts[url] == 0


@pytest.mark.parametrize("method", ["spiffe_x509", "spiffe_wit", "client_secret_basic", "tls_client_auth"])
def test_a_document_with_a_method_that_cannot_be_met_lets_nobody_in(
    library: Documented, key: JwtKey, method: str
) -> None:
    url = library.shelf.keyed(f"/agents/{method}", key, token_endpoint_auth_method=method, spiffe_id=f"{WEB}/*")
    assert library.acting("/ns/web/sa/x", url).error == INVALID
    assert library.by_own_key(key, url).error == INVALID
