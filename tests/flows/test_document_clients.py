"""Clients known by their metadata document at `/token`: who gets in by what, and what is fetched for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.jws import JwtKey
from tests.flows.client import JWT_BEARER, jwt_fields
from tests.flows.documented import WEB, Documented
from tests.flows.dpop import DpopKey
from tests.flows.stand import LEDGER
from tests.unit.fetch.tls_server import http

INVALID = (401, "invalid_client")
PENDING = (403, "unauthorized_client")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documented]:
    running = Documented(tmp_path_factory.mktemp("library") / "service")
    yield running
    running.close()


@pytest.fixture(scope="module")
def key() -> JwtKey:
    return JwtKey.generate("ES256", kid="own-1")


@pytest.fixture(scope="module")
def other_key() -> JwtKey:
    return JwtKey.generate("ES256", kid="own-2")


# --- by a key of its own ----------------------------------------------------------------------------


def test_a_client_with_a_document_gets_a_token_by_the_key_it_states(library: Documented, key: JwtKey) -> None:
    """CIMD-20, CIMD-29, KBC-30: `sub` and `client_id` are the URL, byte by byte."""
    url = library.shelf.keyed("/agents/first", key)
    claims = library.by_own_key(key, url).claims
    assert (claims["client_id"], claims["sub"], claims["client_token"]) == (url, url, True)
    record = library.records()[url]
    assert (record.kind.value, record.subject, record.trust_domain) == ("metadata-document", url, None)
    assert (record.rule, record.identities) == ("agents-read-ledger", 0)
    assert library.events_of(url) == ["registered", "token_issued"]


def test_the_client_id_need_not_stand_beside_the_assertion(library: Documented, key: JwtKey, other_key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/unnamed", key)
    assertion = library.assertion(key, url)
    assert library.ask(jwt_fields(assertion, client_assertion_type=JWT_BEARER)).claims["client_id"] == url
    # T-13: nor may another client's stand there.
    other = library.shelf.keyed("/agents/other", other_key)
    mixed = {**jwt_fields(library.assertion(key, url), client_assertion_type=JWT_BEARER), "client_id": other}
    assert library.ask(mixed).error == INVALID


def test_many_requests_need_one_document_and_one_key_set(library: Documented, key: JwtKey) -> None:
    keys = library.shelf.keys("/keys/many.json", key)
    url = library.shelf.publish("/agents/many", token_endpoint_auth_method="private_key_jwt", jwks_uri=keys)
    before = library.shelf.counts
    for _ in range(50):
        assert library.by_own_key(key, url).status == 200
    assert library.shelf.counts - before == {url: 1, keys: 1}


WRONG: dict[str, dict[str, Any]] = {
    "KBC-30 iss": {"iss": "https://elsewhere.example/client"},
    "KBC-30 no iss": {"iss": None},
    "KBC-31 the endpoint": {"aud": "https://127.0.0.1:8443/token"},
    "KBC-31 a list": {"aud": ["https://127.0.0.1:8443", "https://other.example"]},
    "KBC-32 another type": {"header": {"typ": "at+jwt"}},
    "KBC-33 no jti": {"jti": None},
    "KBC-34 too long": {"exp": 4102444800},
    "an unknown key": {"header": {"kid": "nobody"}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_assertion_of_a_documents_client_is_held_to_the_rules_of_all(
    library: Documented, key: JwtKey, wrong: dict[str, Any]
) -> None:
    url = library.shelf.keyed("/agents/strict", key)
    assert library.by_own_key(key, url).status == 200
    assert library.by_own_key(key, url, **wrong).error == INVALID


@pytest.mark.parametrize("typ", ["JWT", "client-authentication+jwt", None], ids=str)
def test_an_assertion_may_be_typed_as_one_or_not_at_all_KBC_32(
    library: Documented, key: JwtKey, typ: str | None
) -> None:
    url = library.shelf.keyed("/agents/typed", key)
    assert library.by_own_key(key, url, header={"typ": typ}).status == 200


def test_an_assertion_is_good_once_KBC_33(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/once", key)
    fields = library.keyed_fields(key, url)
    assert library.ask(fields).status == 200
    assert library.ask(fields).error == INVALID


def test_a_client_that_states_an_algorithm_is_held_to_it(library: Documented) -> None:
    rsa = JwtKey.generate("RS256", kid="rsa")
    url = library.shelf.keyed("/agents/rsa", rsa, token_endpoint_auth_signing_alg="RS256")
    assert library.by_own_key(rsa, url).status == 200
    assert library.by_own_key(JwtKey(rsa.kid, "PS256", rsa.key), url).error == INVALID


def test_tokens_of_a_bound_client_need_a_proof_and_no_other(library: Documented, key: JwtKey) -> None:
    url, dpop = library.shelf.keyed("/machines/one", key), DpopKey()
    assert library.by_own_key(key, url).error == (400, "invalid_request")
    claims = library.by_own_key(key, url, proof=dpop).claims
    assert claims["cnf"] == {"jkt": dpop.thumbprint}


def test_a_client_that_promised_dpop_is_held_to_it(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/promised", key, dpop_bound_access_tokens=True)
    assert library.by_own_key(key, url).error == (400, "invalid_request")
    assert library.by_own_key(key, url, proof=DpopKey()).status == 200


def test_a_client_that_states_its_grants_gets_no_others(library: Documented, key: JwtKey) -> None:
    code = library.shelf.keyed("/agents/code-only", key, grant_types=["authorization_code"])
    assert library.by_own_key(key, code).error == (400, "unauthorized_client")
    both = library.shelf.keyed("/agents/both", key, grant_types=["authorization_code", "client_credentials", "x:y"])
    assert library.by_own_key(key, both).status == 200
    assert library.metadata_of(both)["grant_types"] == ["authorization_code", "client_credentials"]


# --- by nothing -------------------------------------------------------------------------------------


def test_a_public_client_gets_no_token_of_its_own_CIMD_22(library: Documented) -> None:
    url = library.shelf.publish("/agents/public", token_endpoint_auth_method="none")
    before = library.last_row()
    asked = {"grant_type": "client_credentials", "client_id": url}
    assert library.ask(asked).error == (400, "unauthorized_client")
    # CIMD-21: one that says nothing, and has nothing, is public too.
    silent = library.shelf.publish("/agents/silent")
    assert library.ask({**asked, "client_id": silent}).error == (400, "unauthorized_client")
    # Nobody proved to be anybody: there is no row, and no record.
    assert library.last_row() == before
    assert not {url, silent} & set(library.records())


@pytest.mark.parametrize("at", ["/token", "/introspect", "/revoke"])
def test_whoever_declares_a_key_comes_by_it_everywhere_CIMD_20(library: Documented, key: JwtKey, at: str) -> None:
    url = library.shelf.keyed("/agents/declared", key)
    token = library.by_own_key(key, url).body["access_token"]
    asked = {"grant_type": "client_credentials", "client_id": url, "token": token}
    assert library.ask(asked, at=at).error == INVALID
    assert library.acting("/ns/web/sa/x", url).error == INVALID
    assert library.ask({**library.keyed_fields(key, url), "token": token}, at=at).status == 200


def test_a_document_with_keys_and_no_method_lets_nobody_in(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/inferred", key, token_endpoint_auth_method=None)
    assert library.by_own_key(key, url).error == INVALID
    assert library.ask({"grant_type": "client_credentials", "client_id": url}).error == INVALID


# --- questions about tokens -------------------------------------------------------------------------


def test_a_documents_client_asks_about_its_own_tokens_and_ends_them(
    library: Documented, key: JwtKey, other_key: JwtKey
) -> None:
    url = library.shelf.keyed("/agents/asking", key)
    token = library.by_own_key(key, url).body["access_token"]
    answer = library.ask({**library.keyed_fields(key, url), "token": token}, at="/introspect").body
    assert (answer["active"], answer["client_id"], answer["sub"]) == (True, url, url)
    stranger = library.shelf.keyed("/agents/stranger", other_key)
    fields = {**library.keyed_fields(other_key, stranger), "token": token}
    assert library.ask(fields, at="/introspect").body == {"active": False}
    fields = {**library.keyed_fields(other_key, stranger), "token": token}
    assert library.ask(fields, at="/revoke").status == 400
    assert library.is_active(token)
    assert library.ask({**library.keyed_fields(key, url), "token": token}, at="/revoke").status == 200
    assert not library.is_active(token)


def test_a_public_client_may_ask_nothing_and_nothing_is_fetched_for_it(library: Documented) -> None:
    url = library.shelf.publish("/agents/curious", token_endpoint_auth_method="none")
    assert library.ask({"client_id": url, "token": "x"}, at="/introspect").error == INVALID
    assert library.shelf.counts[url] == 0
    assert library.ask({"client_id": url, "token": "x"}, at="/revoke").status == 200


# --- policy before any fetch ------------------------------------------------------------------------


def test_nothing_is_fetched_for_a_url_that_no_rule_wants_CIMD_24(library: Documented, key: JwtKey) -> None:
    for path in ("/elsewhere/client", "/agents/banned", "/agents/deeper/client"):
        url = library.shelf.keyed(path, key)
        assert library.by_own_key(key, url).error == INVALID
        assert library.ask({"grant_type": "client_credentials", "client_id": url}).error == INVALID
        assert library.shelf.counts[url] == 0


@pytest.mark.parametrize(
    "tail", ["/agents/../agents/x", "/agents/%2e%2e/x", "/agents/x?y", "/agents/x#", "/agents/x\\", ""]
)
def test_nothing_is_fetched_for_what_is_no_client_url_CIMD_1_CIMD_2_CIMD_4(
    library: Documented, key: JwtKey, tail: str
) -> None:
    before = library.shelf.server.connections
    url = library.shelf.base + tail
    assert library.ask({"grant_type": "client_credentials", "client_id": url}).error == INVALID
    assert library.by_own_key(key, url).error == INVALID
    assert library.shelf.server.connections == before


def test_a_url_that_waits_for_an_operator_is_noted_and_not_fetched(library: Documented, key: JwtKey) -> None:
    """ROFU-12, CIMD-24: who comes is not authenticated, so its record says nothing but the URL."""
    url = library.shelf.keyed("/partners/waiting", key)
    assert library.by_own_key(key, url).error == PENDING
    assert library.by_own_key(key, url).error == PENDING
    assert library.shelf.counts[url] == 0
    record = library.records()[url]
    assert (record.state.value, dict(record.metadata), library.events_of(url)) == ("pending", {}, ["registered"])
    assert library.operate("clients", "approve", url, "--yes")[0] == 0
    assert library.by_own_key(key, url).claims["client_id"] == url
    assert library.metadata_of(url)["client_name"] == "Planner"
    assert library.events_of(url) == ["registered", "updated", "token_issued"]


def test_an_svid_that_comes_for_a_waiting_url_waits_too(library: Documented) -> None:
    url = library.shelf.publish("/partners/acted", spiffe_id=f"{WEB}/partner")
    assert library.acting("/ns/web/sa/partner", url).error == PENDING
    assert library.shelf.counts[url] == 0
    assert library.operate("clients", "approve", url, "--yes")[0] == 0
    assert library.acting("/ns/web/sa/partner", url).claims["sub"] == f"{WEB}/partner"


def test_an_approval_is_the_documents_and_holds_for_all_who_act_for_it(library: Documented) -> None:
    url = library.shelf.publish("/partners/several", spiffe_id=f"{WEB}/*")
    assert library.acting("/ns/web/sa/first", url).error == PENDING
    assert library.operate("clients", "approve", url, "--yes")[0] == 0
    for name in ("first", "second"):
        assert library.acting(f"/ns/web/sa/{name}", url).claims["sub"] == f"{WEB}/{name}"
    # It ends with the record (ROFU-12).
    assert library.operate("clients", "revoke", url)[0] == 0
    assert library.acting("/ns/web/sa/second", url).error == PENDING


def test_more_than_a_url_has_without_asking_is_held_back_unfetched_too(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/asking-more", key)
    fields = {**library.keyed_fields(key, url), "scope": "orders.read"}
    assert library.ask(fields).error == PENDING
    assert library.shelf.counts[url] == 0
    assert library.ask({**library.keyed_fields(key, url), "scope": "ledger.read"}).status == 200
    # Nothing about the active record changes; what waits is noted beside it.
    assert library.ask({**library.keyed_fields(key, url), "scope": "orders.read"}).error == PENDING
    assert library.ask({**library.keyed_fields(key, url), "scope": "ledger.read"}).status == 200
    assert library.operate("clients", "approve", url, "--yes")[0] == 0
    assert library.ask({**library.keyed_fields(key, url), "scope": "orders.read"}).status == 200


def test_who_only_asks_makes_no_record_of_a_waiting_url(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/partners/asking", key)
    fields = {**library.keyed_fields(key, url), "token": "x"}
    assert library.ask(fields, at="/introspect").error == PENDING
    assert url not in library.records()
    assert library.shelf.counts[url] == 0


# --- what the document's host does ------------------------------------------------------------------


def test_a_document_that_is_not_there_or_not_its_own_is_the_clients_fault(library: Documented, key: JwtKey) -> None:
    """CIMD-5, CIMD-14: and once it is mended the next request works."""
    good = library.shelf.keyed("/agents/mended", key)
    page = library.shelf.pages.pop("/agents/mended")
    assert library.by_own_key(key, good).error == INVALID
    library.shelf.pages["/agents/mended"] = page.replace(b"/agents/mended", b"/agents/nobody")
    assert library.by_own_key(key, good).error == INVALID
    library.shelf.pages["/agents/mended"] = page
    assert library.by_own_key(key, good).status == 200


def test_a_host_that_fails_is_nobodys_fault(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/flaky", key)
    page = library.shelf.pages["/agents/flaky"]
    library.shelf.pages["/agents/flaky"] = http(b"", "500 Internal Server Error")
    answer = library.by_own_key(key, url)
    assert answer.error == (503, "temporarily_unavailable")
    assert "Retry-After" in answer.headers
    # One failure alone says nothing about the host; the next request asks it.
    library.shelf.pages["/agents/flaky"] = page
    assert library.by_own_key(key, url).status == 200


def test_a_software_statement_in_a_document_adds_nothing_CIMD_33(library: Documented, key: JwtKey) -> None:
    statement = library.stand.statement("pipeline", {"client_name": "Somebody else", "client_id": "x"})
    url = library.shelf.keyed("/agents/stated", key, software_statement=statement)
    assert library.by_own_key(key, url).claims["client_id"] == url
    assert library.metadata_of(url)["client_name"] == "Planner"


def test_the_rules_scopes_hold_whatever_the_document_says(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/scoped", key, scope="ledger.read everything")
    fields = library.keyed_fields(key, url)
    assert library.ask({**fields, "scope": "everything"}).error == (400, "invalid_scope")
    claims = library.ask({**library.keyed_fields(key, url), "scope": "ledger.write", "resource": LEDGER}).claims
    assert claims["scope"] == "ledger.write"
    assert library.metadata_of(url)["scope"] == "ledger.read"


def test_new_documents_are_paid_for_by_their_source_address(tmp_path: Path, key: JwtKey) -> None:
    """`anonymous_per_minute`: fetched or held back, a URL that was not there before costs one."""
    running = Documented(tmp_path / "limited", more="[limits]\nanonymous_per_minute = 3\n")
    try:
        for path in ("/agents/a", "/agents/b"):
            assert running.by_own_key(key, running.shelf.keyed(path, key)).status == 200
        held = running.shelf.keyed("/partners/c", key)
        assert running.by_own_key(key, held).error == (403, "unauthorized_client")
        for path in ("/agents/d", "/partners/e"):
            answer = running.by_own_key(key, running.shelf.keyed(path, key))
            assert answer.error == (429, "temporarily_unavailable")
            assert "anonymous_per_minute" in answer.body["error_description"]
        # Those that are known spend nothing.
        for _ in range(5):
            assert running.by_own_key(key, running.shelf.base + "/agents/a").status == 200
            assert running.by_own_key(key, held).error == (403, "unauthorized_client")
    finally:
        running.close()
