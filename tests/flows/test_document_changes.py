"""What becomes of a document's client when the document changes, ends, or its host does, as time goes by."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import bridge.ambient
import bridge.app
from bridge.lab.jws import JwtKey
from tests.flows.documented import NO_STORE, WEB, Documented
from tests.flows.timed import Clock

INVALID = (401, "invalid_client")
MINUTE = 60


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documented]:
    """A worker by a clock that tests move forward. It is in place for this module alone."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge.app, "now", clock)
        patch.setattr(bridge.ambient, "now", clock)
        running = Documented(tmp_path_factory.mktemp("library") / "service", clock)
        yield running
        running.close()


@pytest.fixture(scope="module")
def key() -> JwtKey:
    return JwtKey.generate("ES256", kid="own-1")


@pytest.fixture(scope="module")
def other_key() -> JwtKey:
    return JwtKey.generate("ES256", kid="own-2")


def test_a_new_key_behind_jwks_uri_is_fetched_once_when_it_is_first_used(
    library: Documented, key: JwtKey, other_key: JwtKey
) -> None:
    keys = library.shelf.keys("/keys/rotating.json", key)
    url = library.shelf.publish("/agents/rotating", token_endpoint_auth_method="private_key_jwt", jwks_uri=keys)
    assert library.by_own_key(key, url).status == 200
    library.after(10)
    library.shelf.keys("/keys/rotating.json", key, other_key)
    assert library.by_own_key(other_key, url).status == 200
    assert library.by_own_key(key, url).status == 200
    assert library.shelf.counts[keys] == 2
    # A name that nobody has is no way to have it asked again and again.
    for _ in range(5):
        assert library.by_own_key(key, url, header={"kid": "nobody"}).error == INVALID
    assert library.shelf.counts[keys] == 2


def test_a_key_that_a_document_no_longer_states_is_worth_nothing(
    library: Documented, key: JwtKey, other_key: JwtKey
) -> None:
    url = library.shelf.keyed("/agents/rekeyed", key)
    token = library.by_own_key(key, url).body["access_token"]
    library.shelf.keyed("/agents/rekeyed", other_key)
    library.after(MINUTE)
    assert library.by_own_key(key, url).error == INVALID
    assert library.by_own_key(other_key, url).status == 200
    # Rotation is hygiene: what was issued lives on, and the log says that the client has other keys now.
    assert library.is_active(token)
    assert library.events_of(url) == ["registered", "token_issued", "updated", "token_issued"]


def test_a_changed_document_stands_on_the_record_once_T_8(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/renamed", key, headers=NO_STORE, client_name="Old")
    assert library.by_own_key(key, url).status == 200
    said = {"client_name": "New", "redirect_uris": ["https://a.example/"]}
    library.shelf.keyed("/agents/renamed", key, headers=NO_STORE, **said)
    for _ in range(3):
        assert library.by_own_key(key, url).status == 200
    metadata = library.metadata_of(url)
    assert (metadata["client_name"], metadata["redirect_uris"]) == ("New", ["https://a.example/"])
    assert library.events_of(url).count("updated") == 1
    # A member that nobody reads here is no change.
    library.shelf.keyed("/agents/renamed", key, headers=NO_STORE, made_at="today", **said)
    assert library.by_own_key(key, url).status == 200
    assert library.events_of(url).count("updated") == 1


def test_many_who_see_a_changed_document_at_once_write_it_down_once_T_40(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/busy", key, client_name="Old")
    token = library.by_own_key(key, url).body["access_token"]
    library.shelf.keyed("/agents/busy", key, client_name="New")
    library.after(MINUTE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: library.by_own_key(key, url).status, range(24)))
    assert answers == [200] * 24
    assert library.events_of(url).count("updated") == 1
    assert library.is_active(token)


@pytest.mark.parametrize("weaker", ["none", "private_key_jwt"])
def test_tokens_end_when_a_client_authenticates_less_well_CIMD_28(
    library: Documented, key: JwtKey, weaker: str
) -> None:
    """Also when whoever comes with the weaker document gets nothing by it."""
    path = f"/agents/to-{weaker}"
    url = library.shelf.publish(path, NO_STORE, spiffe_id=f"{WEB}/*", token_endpoint_auth_method="spiffe_jwt")
    token = library.acting("/ns/web/sa/x", url).body["access_token"]
    library.shelf.keyed(path, key, headers=NO_STORE, spiffe_id=f"{WEB}/*", token_endpoint_auth_method=weaker)
    assert library.is_active(token)
    assert library.acting("/ns/web/sa/x", url).error == INVALID
    assert not library.is_active(token)
    (row,) = [row for row in library.rows_of(url) if row.outcome == "weakened"]
    assert (row.event.value, row.subject) == ("updated", url)


def test_a_client_that_is_weakened_again_loses_its_tokens_again_CIMD_28(library: Documented, key: JwtKey) -> None:
    path, tokens = "/agents/to-and-fro", []
    for _ in range(2):
        url = library.shelf.keyed(path, key, headers=NO_STORE)
        tokens.append(library.by_own_key(key, url).body["access_token"])
        assert library.metadata_of(url)["token_endpoint_auth_method"] == "private_key_jwt"
        library.shelf.publish(path, NO_STORE, token_endpoint_auth_method="none")
        assert library.is_active(tokens[-1])
        assert library.by_own_key(key, url).error == INVALID
        assert not library.is_active(tokens[-1])


def test_tokens_live_on_when_a_client_authenticates_better(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/to-spiffe", key, headers=NO_STORE)
    token = library.by_own_key(key, url).body["access_token"]
    library.shelf.publish("/agents/to-spiffe", NO_STORE, spiffe_id=f"{WEB}/*")
    assert library.acting("/ns/web/sa/x", url).status == 200
    assert library.is_active(token)
    assert library.by_own_key(key, url).error == INVALID


def test_a_document_that_gives_itself_an_end_caps_tokens_and_then_ends_its_client_CIMD_32(
    library: Documented, key: JwtKey
) -> None:
    ends = library.clock() + 100
    url = library.shelf.keyed("/agents/ending", key, client_id_expires_at=ends)
    answer = library.by_own_key(key, url)
    assert (answer.body["expires_in"], answer.claims["exp"]) == (100, ends)
    endless = library.shelf.keyed("/agents/endless", key)
    assert library.by_own_key(key, endless).body["expires_in"] == 300
    library.after(100)
    assert library.by_own_key(key, url).error == INVALID
    assert library.by_own_key(key, endless).status == 200


def test_a_good_document_survives_its_host(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/orphan", key)
    assert library.by_own_key(key, url).status == 200
    page = library.shelf.pages.pop("/agents/orphan")
    library.shelf.pages["/agents/orphan"] = page.replace(b"200 OK", b"502 Bad Gateway", 1)
    library.after(MINUTE)
    assert library.by_own_key(key, url).status == 200


def test_a_client_that_idled_out_comes_back_by_its_document(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/idle", key)
    assert library.by_own_key(key, url).status == 200
    epoch = library.records()[url].epoch
    library.after(31 * 24 * 3600)
    assert library.standing(url) == "expired"
    assert library.by_own_key(key, url).claims["client_id"] == url
    assert library.events_of(url) == ["registered", "token_issued", "expired", "registered", "token_issued"]
    assert library.records()[url].epoch > epoch
