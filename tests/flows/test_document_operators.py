"""What an operator sees of documents' clients and of the SPIFFE IDs that act for them, and does to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from bridge.cli.audit.lookup import ask_of
from bridge.lab.jws import JwtKey
from bridge.model.audit import AuditEventKind, AuditRow
from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.identity import Source
from bridge.store.ports import Store
from tests.flows.documented import WEB, Documented, document_rules

INVALID = (401, "invalid_client")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documented]:
    running = Documented(tmp_path_factory.mktemp("library") / "service")
    yield running
    running.close()


@pytest.fixture(scope="module")
def key() -> JwtKey:
    return JwtKey.generate("ES256", kid="own-1")


def show(library: Documented, name: str) -> dict[str, Any]:
    code, said = library.operate("clients", "show", name, "--json")
    assert code == 0, name
    shown: dict[str, Any] = json.loads(said)
    return shown


def recheck(library: Documented, *words: str) -> dict[tuple[str, str | None], str]:
    """The outcome by client and member."""
    _, said = library.operate("clients", "recheck", "--all", "--json", *words)
    return {(one["client_id"], one["member"]): one["outcome"] for one in json.loads(said)}


def test_the_document_and_the_spiffe_id_each_list_the_other(library: Documented) -> None:
    url = library.shelf.publish("/agents/listed", spiffe_id=f"{WEB}/*")
    own = f"{WEB}/listed"
    assert library.acting("/ns/web/sa/listed", url).status == 200
    # An SVID that has only ever come for the document is found by its name all the same.
    assert [one["client_id"] for one in show(library, own)["member_of"]] == [url]
    assert library.by_jwt("/ns/web/sa/listed").claims["client_id"] == own
    shown = show(library, own)
    assert (shown["kind"], [one["client_id"] for one in shown["member_of"]]) == ("spiffe", [url])
    shown = show(library, url)
    assert (shown["kind"], shown["identities"]) == ("metadata-document", 1)
    assert [one["spiffe_id"] for one in shown["members"]] == [own]
    listed = next(one for one in library.clients() if one["client_id"] == url)
    assert (listed["subject"], listed["trust_domain"], listed["identities"]) == (url, None, 1)
    _, tree = library.operate("clients", "list", "--tree", "--prefix", url)
    assert [line.split()[0] for line in tree.splitlines()] == [url, own]


def test_revoking_a_spiffe_id_ends_it_alone_and_revoking_the_url_ends_all(library: Documented) -> None:
    url = library.shelf.publish("/agents/revoked", spiffe_id=f"{WEB}/*")

    def tokens() -> list[str]:
        return [library.acting(f"/ns/web/sa/{name}", url).body["access_token"] for name in ("one", "two")]

    one, two = tokens()
    assert library.operate("clients", "revoke", f"{WEB}/one")[0] == 0
    assert [library.is_active(token) for token in (one, two)] == [False, True]
    one, two = tokens()
    assert library.operate("clients", "revoke", url)[0] == 0
    assert [library.is_active(token) for token in (one, two)] == [False, False]
    assert all(map(library.is_active, tokens()))


def test_a_url_that_was_never_seen_can_be_denied_and_is_not_fetched(library: Documented, key: JwtKey) -> None:
    url = library.shelf.keyed("/agents/unseen", key)
    assert library.operate("clients", "deny", url)[0] == 0
    assert library.by_own_key(key, url).error == INVALID
    assert show(library, url)["state"] == "denied"
    assert library.operate("clients", "undeny", url)[0] == 0
    assert library.by_own_key(key, url).status == 200
    assert library.operate("clients", "deny", library.shelf.base + "/agents/../x")[0] == 2


def test_pushed_clients_can_be_denied_as_one(library: Documented) -> None:
    assert library.operate("clients", "deny", PUSHED_CLIENT_ID)[0] == 0
    assert show(library, PUSHED_CLIENT_ID)["state"] == "denied"
    assert library.operate("clients", "undeny", PUSHED_CLIENT_ID)[0] == 0


def test_recheck_judges_documents_and_who_acts_for_them(library: Documented, key: JwtKey) -> None:
    keyed = library.shelf.keyed("/agents/rechecked", key)
    acted = library.shelf.publish("/agents/rechecked-acted", spiffe_id=f"{WEB}/*")
    machine = library.shelf.keyed("/machines/rechecked", key)
    assert library.by_own_key(key, keyed).status == 200
    assert library.acting("/ns/web/sa/rechecked", acted).status == 200
    found = recheck(library)
    assert found[keyed, None] == found[acted, None] == found[acted, f"{WEB}/rechecked"] == "admitted"
    assert (machine, None) not in found
    rules = library.stand.policies / "metadata-documents.toml"
    before = document_rules(library.shelf.base)
    rules.write_text(before.replace(f'spiffe_id = "{WEB}/*" }}', f'spiffe_id = "{WEB}/other" }}'))
    found = recheck(library)
    assert (found[keyed, None], found[acted, None]) == ("admitted", "admitted")
    assert found[acted, f"{WEB}/rechecked"] == "no_rule"
    rules.write_text(before.replace("/agents/*", "/agents/nobody"))
    found = recheck(library)
    assert (found[keyed, None], found[acted, None]) == ("no_rule", "no_rule")
    rules.write_text(before)
    library.look()


@dataclass
class Log:
    """A store whose audit log has these rows."""

    found: list[AuditRow]

    @property
    def audit(self) -> Log:
        return self

    def rows(self, **_: object) -> list[AuditRow]:
        return self.found


def test_an_audit_row_is_decided_again_as_the_document_that_was_named(library: Documented, key: JwtKey) -> None:
    """The row's subject is who acted; that it was for a document, its client says."""
    acted = library.shelf.publish("/agents/explained", spiffe_id=f"{WEB}/*")
    keyed = library.shelf.keyed("/agents/explained-keyed", key)
    own, start = f"{WEB}/explained", library.last_row()
    assert library.acting("/ns/web/sa/explained", acted).status == 200
    assert library.acting("/ns/web/sa/explained", keyed).error == INVALID
    assert library.by_own_key(key, keyed).status == 200
    assert library.by_jwt("/ns/web/sa/explained").status == 200
    events = (AuditEventKind.TOKEN_ISSUED, AuditEventKind.REFUSED)
    rows = library.process.worker._store.audit.rows(after=start, events=events, limit=100)
    subjects = [ask_of(cast("Store", Log([row])), row.event.id).subject for row in rows]
    assert {(one.source, one.url, str(one.spiffe_id or "")) for one in subjects} == {
        (Source.METADATA_DOCUMENT, acted, own),
        (Source.METADATA_DOCUMENT, keyed, own),
        (Source.METADATA_DOCUMENT, keyed, ""),
        (Source.SPIFFE, None, own),
    }


def test_a_url_can_be_explained_before_anybody_came_with_it(library: Documented) -> None:
    def explain(*words: str) -> dict[str, Any]:
        asked = ("policy", "explain", "--grant-type", "client_credentials", "--json", *words)
        explained: dict[str, Any] = json.loads(library.operate(*asked)[1])
        return explained

    base = library.shelf.base
    assert explain("--subject", f"{base}/agents/any", "--evidence", "metadata-document")["effect"] == "allow"
    assert explain("--subject", f"{base}/agents/banned", "--evidence", "metadata-document")["rule"] == "no-banned-agent"
    by_svid = ("--subject", f"{base}/agents/any", "--evidence", "jwt-svid", "--spiffe-id")
    assert explain(*by_svid, f"{WEB}/any")["effect"] == "allow"
    assert explain(*by_svid, f"{WEB}/intruder")["rule"] == "no-intruder"
