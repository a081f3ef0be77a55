"""The policy workbench over what a service really wrote down: every kind of request, from registration to refresh."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bridge.cli.policy.replay_book import ReplayBook
from bridge.cli.policy.replay_run import ReplayRun, Tally
from bridge.policy.evaluate import PolicySet
from bridge.policy.folder import PolicyDefaults, check_folder
from bridge.policy.replay import Replay
from bridge.policy.writing import file_text
from tests.flows.approving import AGENT_CB, APP_CB, SHARED_CB, URN, Approving, Verifier, running
from tests.flows.client import jwt_fields
from tests.flows.dpop import DpopKey

ID = "spiffe://example.org"
DESK = "/ns/people/sa/desk"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Approving]:
    with running(tmp_path_factory.mktemp("workbench") / "service") as service:
        yield service


def ask_for_everything(house: Approving) -> None:
    """A request of each kind that leaves a row, and refusals of each kind that rules make."""
    pkce, key = Verifier(), DpopKey()
    assert house.by_jwt("/ns/web/sa/shop").status == 200
    assert house.by_jwt("/ns/web/sa/shop", scope="ledger.write").status == 400
    assert house.by_jwt("/ns/nobody/sa/x").status == 401
    assert house.by_jwt("/ns/edge/sa/x").status == 400, "no key is proved"
    assert house.by_jwt("/ns/web/sa/intruder").status == 401
    assert house.by_jwt("/ns/research/sa/x").status == 403
    assert house.enrol("/ns/web/sa/enrolled").status == 201
    code = house.code(ID + DESK, house.pushed(house.agent(DESK), pkce, scope="ledger.read ledger.write"))
    token = house.redeem(house.agent(DESK), code, pkce).body["refresh_token"]
    assert house.refresh(house.agent(DESK), token, scope="ledger.read").status == 200
    assert house.refresh(house.agent(DESK), token, scope="orders.read").status == 400
    assert house.push(house.agent(DESK), pkce, scope="ledger.own").status == 400
    fleet = "/ns/fleet/sa/one"
    code = house.code("fleet", house.pushed(house.agent(fleet), pkce, redirect_uri=SHARED_CB))
    assert house.redeem(house.agent(fleet), code, pkce).status == 200
    url = house.app()
    code = house.code(url, house.pushed({"client_id": url}, pkce, redirect_uri=APP_CB))
    assert house.redeem({"client_id": url}, code, pkce).status == 200
    acted = house.shelf.publish(
        "/apps/agent", redirect_uris=[APP_CB], token_endpoint_auth_method="spiffe_jwt", spiffe_id=f"{ID}/ns/web/sa/*"
    )
    acting = house.agent("/ns/web/sa/acting", client_id=acted)
    code = house.code(acted, house.pushed(acting, pkce, redirect_uri=APP_CB))
    assert house.redeem(house.agent("/ns/web/sa/acting", client_id=acted), code, pkce).status == 200
    assert house.acting("/ns/web/sa/acting", acted, scope="ledger.read").status == 200
    pushed = house.pushed({"client_id": URN}, pkce, redirect_uri=AGENT_CB, key=key, client_metadata=TOOL)
    assert house.redeem({"client_id": URN}, house.code(URN, pushed), pkce, key=key).status == 200


TOOL = json.dumps({"client_name": "Tool", "redirect_uris": [AGENT_CB]})


def loaded(folder: Path) -> PolicySet:
    found = check_folder(folder, PolicyDefaults()).policy_set
    assert found is not None
    return found


def with_other_terms(house: Approving, folder: Path) -> Path:
    """The same rules, each with tokens that live for 77 seconds."""
    folder.mkdir()
    for path in house.stand.policies.glob("*.toml"):
        raw = tomllib.loads(path.read_text())
        for rule in raw.get("rule", ()):
            if "grant" in rule:
                rule["grant"]["token_ttl"] = "77s"
        text = path.read_text() if path.name == "catalogue.toml" else file_text(raw, "rule")
        (folder / path.name).write_text(text)
    return folder


def replayed(house: Approving, candidate: Path) -> tuple[Tally, list[dict[str, Any]]]:
    present, audit = loaded(house.stand.policies), house.process.worker._store.audit
    with closing(ReplayBook()) as book:
        run = ReplayRun(Replay(present, loaded(candidate)).against_recorded, present.version, book)
        run.take(audit.asks(*audit.span()))
        return run.tally, [json.loads(change.told) for change, _ in book.changes()]


def test_every_row_that_a_service_writes_is_decided_again_as_it_was(house: Approving, tmp_path: Path) -> None:
    """Under rules that differ in one term, each request that was given anything changes by that term alone, and no
    refusal changes: so each row holds all that its decision turned on."""
    ask_for_everything(house)
    tally, changes = replayed(house, with_other_terms(house, tmp_path / "candidate"))
    assert {change["change"] for change in changes} == {"changes"}
    for change in changes:
        before, after = change["before"]["terms"], change["after"]["terms"]
        assert {name for name in before if before[name] != after[name]} <= {"token_ttl", "approval"}
        assert (change["before"]["rule"], after["token_ttl"]) == (change["after"]["rule"], 77)
    assert {change["door"] for change in changes} == {"token", "par", "register"}
    assert {change["evidence"] for change in changes} == {"jwt-svid", "metadata-document", "pushed"}
    assert (tally.unreadable, tally.unkept) == (0, 0)
    # Of a refused refresh the row has what was named, and not what the grant was for.
    assert tally.untold <= 1
    assert replayed(house, house.stand.policies)[1] == []


def test_a_suggested_rule_lets_in_who_was_refused(house: Approving) -> None:
    path = "/ns/visitors/sa/suggested"
    asked = urlencode(jwt_fields(house.stand.jwt(path), scope="orders.read")).encode()
    assert house.process.call(asked, request_id="refused-once").status.startswith("401")
    code, said = house.operate("policy", "suggest", "refused-once", "--json")
    told = json.loads(said)
    assert (code, told["file"], told["also"]) == (0, "example.org.toml", [])
    rules = house.stand.policies / told["file"]
    house.write(told["file"], f"{rules.read_text()}\n{told['text']}")
    house.look()
    assert house.by_jwt(path, scope="orders.read").claims["scope"] == "orders.read"
    assert house.by_jwt(path, scope="ledger.read").status == 400
    assert house.by_jwt("/ns/visitors/sa/another", scope="orders.read").status == 401
