"""`bridge doctor`: an SVID from a file, a pipe or an agent, or the id of a refusal; what it says and never says."""

from __future__ import annotations

import base64
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.ambient import new_id, now
from bridge.config import Settings
from bridge.lab.authority import Authority
from bridge.lab.broken_x509 import BrokenX509, X509Order
from bridge.lab.jws import to_json
from bridge.lab.workload_api import WorkloadApi
from bridge.lab.x509 import BACKDATE, X509Svid, leaf_profile
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientState
from bridge.store.ports import Store
from tests.unit.cli.conftest import Records, Run

PATH = "/ns/example/sa/api"
API = f"spiffe://example.org{PATH}"
ISSUER = "https://127.0.0.1:8443"
FIELDS = ["accepted", "reason", "advice", "evidence", "door", "subject", "verified", "credential", "steps", "notes"]
STEP = ["name", "outcome", "expected", "found", "reason", "advice", "setting"]


@pytest.fixture
def authority(folder: Path) -> Authority:
    """The authority whose bundle this service trusts."""
    made = Authority("example.org")
    (folder / "bundles" / "example.org.json").write_bytes(made.bundle_json())
    return made


def pem(svid: X509Svid, *, key: bool = False) -> str:
    blocks = [("CERTIFICATE", der) for der in svid.chain] + ([("PRIVATE KEY", svid.key)] if key else [])
    return "".join(f"-----BEGIN {n}-----\n{base64.encodebytes(b).decode()}-----END {n}-----\n" for n, b in blocks)


Saved = Callable[[str], Path]


@pytest.fixture
def saved(folder: Path) -> Saved:
    def save(text: str) -> Path:
        path = folder / "svid"
        path.write_text(text)
        return path

    return save


def step(answer: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in answer["steps"] if one["name"] == name)
    return found


# --- an SVID --------------------------------------------------------------------------------------


def test_a_sound_svid_would_be_accepted(run: Run, authority: Authority, saved: Saved) -> None:
    ran = run("doctor", saved(authority.jwt_svid(PATH, ISSUER)))
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "ok: the service would accept this at token"
    by_chain = run("doctor", saved(pem(authority.x509_svid(PATH))))
    assert by_chain.code == 0
    assert f"client_id={API}" in by_chain.err


def test_a_broken_one_would_not_and_the_last_line_says_what_to_do(run: Run, authority: Authority, saved: Saved) -> None:
    ran = run("doctor", saved(authority.jwt_svid(PATH, f"{ISSUER}/")))
    assert ran.code == 1
    assert ran.out.splitlines()[-2] == "refused: jwt_audience, at the step audience"
    assert ran.out.splitlines()[-1].startswith("to do: Take the slash off")


def test_json_has_a_stable_shape(run: Run, authority: Authority, saved: Saved) -> None:
    ran = run("doctor", saved(authority.jwt_svid(PATH, f"{ISSUER}/")), "--json")
    answer = ran.json
    assert ran.code == 1
    assert list(answer) == FIELDS
    assert all(list(one) == STEP for one in answer["steps"])
    assert (answer["accepted"], answer["reason"], answer["verified"]) == (False, "jwt_audience", False)
    assert (answer["subject"], answer["evidence"], answer["door"]) == (API, "jwt-svid", "token")
    assert step(answer, "audience")["setting"] == "-audience"
    assert step(answer, "signature")["outcome"] == "ok"
    assert {one["outcome"] for one in answer["steps"]} <= {"ok", "failed", "not reached"}


def test_the_question_can_be_told(run: Run, authority: Authority, saved: Saved) -> None:
    svid = saved(authority.jwt_svid(PATH, ISSUER))
    assert run("doctor", svid, "--scope", "ledger.read").code == 0
    refused = run("doctor", svid, "--scope", "ledger.write", "--json").json
    assert refused["reason"] == "policy_scope"
    assert "example-workloads-read-ledger" in refused["advice"]
    assert run("doctor", svid, "--door", "register", "--json").json["reason"] == "jwt_audience"
    statement = saved(authority.jwt_svid(PATH, f"{ISSUER}/register"))
    assert run("doctor", statement, "--door", "register").code == 0
    assert run("doctor", statement, "--client-id", "another", "--json").json["reason"] == "jwt_audience"


def test_an_svid_comes_through_a_pipe(run: Run, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    svid = f"{authority.jwt_svid(PATH, ISSUER)}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(svid)))
    ran = run("doctor", "-", "--json")
    assert ran.code == 0
    assert ran.json["subject"] == API


@pytest.mark.parametrize("words", [[], ["--x509"]], ids=["jwt", "x509"])
def test_an_svid_comes_straight_from_the_workload_api(run: Run, authority: Authority, words: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cli"))
    try:
        with WorkloadApi(authority, folder / "a.sock", identities=[PATH]) as agent:
            assert run("doctor", "--socket", agent.address, *words).code == 0
    finally:
        shutil.rmtree(folder)


def test_before_the_first_start_nobody_is_registered(
    run: Run, authority: Authority, settings: Settings, saved: Saved
) -> None:
    settings.database.unlink()
    settings.seal_file.unlink()
    ran = run("doctor", saved(authority.jwt_svid(PATH, ISSUER)), "--json")
    assert ran.code == 0
    assert "absent" in step(ran.json, "record")["found"]
    assert not settings.database.exists()


def test_a_record_is_looked_at(run: Run, authority: Authority, records: Records, store: Store, saved: Saved) -> None:
    svid = saved(authority.jwt_svid(PATH, ISSUER))
    records.add(PATH, state=ClientState.ACTIVE, now=now())
    assert "active" in step(run("doctor", svid, "--json").json, "record")["found"]
    assert run("clients", "deny", API).code == 0
    refused = run("doctor", svid, "--json").json
    assert (refused["reason"], refused["verified"]) == ("identity_denied", True)
    assert f"bridge clients undeny {API}" in refused["advice"]


# --- what it never says ---------------------------------------------------------------------------


def test_neither_token_nor_key_is_ever_shown(run: Run, authority: Authority, saved: Saved) -> None:
    svid = authority.x509_svid(PATH)
    key = base64.encodebytes(svid.key).decode().splitlines()
    token = authority.jwt_svid(PATH, "https://other.example")
    for text, secrets in ((pem(svid, key=True), key), (token, token.split(".")), (f"{token}x", token.split("."))):
        for words in ((), ("--json",)):
            ran = run("doctor", saved(text), *words)
            assert not [secret for secret in secrets if secret in ran.out + ran.err]
    assert "There is a private key in it" in run("doctor", saved(pem(svid, key=True))).err


HOSTILE = "\x1b]0;gone\x07\x1b[2J\r\nok: the service would accept this\x9b31m‮<script>"


@pytest.mark.parametrize(
    ("member", "claim"),
    [
        *((None, claim) for claim in ("sub", "aud", "iss", "exp", "nbf", "iat", HOSTILE)),
        *((member, "iss") for member in ("kid", "typ", "alg", HOSTILE)),
    ],
)
def test_no_field_of_a_token_reaches_the_terminal_as_it_is_T_49(
    run: Run, authority: Authority, saved: Saved, claim: str, member: str | None
) -> None:
    key = authority.jwt_keys.active
    header: dict[str, object] = {"alg": key.alg, "kid": key.kid, **({member: HOSTILE} if member else {})}
    claims: dict[str, object] = {"sub": API, "aud": ISSUER, "exp": now() + 300, claim: HOSTILE}
    svid = saved(key.sign(header, to_json(claims)))
    for words in ((), ("--json",)):
        ran = run("doctor", svid, *words)
        shown = (ran.out + ran.err).replace("\n", "")
        assert shown.isprintable()
        assert "ok: the service would accept this" not in [line.strip() for line in ran.out.splitlines()]


def test_no_name_of_a_certificate_reaches_the_terminal_as_it_is_T_49(
    run: Run, authority: Authority, saved: Saved
) -> None:
    at = now()
    profile = leaf_profile(API, not_before=at - BACKDATE, not_after=at + 300)
    hostile = replace(profile, uris=("spiffe://example.org/\x1b[2J",), dns_names=("x\x1b[2J.example",))
    order = X509Order(authority, authority, authority.spiffe_id(PATH), hostile, ec.generate_private_key(ec.SECP256R1()))
    chain = BrokenX509("hostile", "", "").make(order)
    assert b"\x1b[2J" in chain[0]
    ran = run("doctor", saved(pem(X509Svid(order.spiffe_id, chain, b""))))
    assert ran.code == 1
    assert (ran.out + ran.err).replace("\n", "").isprintable()


# --- the id of a refusal --------------------------------------------------------------------------


def refusal(store: Store, reason: str, **fields: Any) -> str:
    """A refusal in the audit log; its id."""
    given: dict[str, Any] = {
        "id": new_id(), "time": now() - 60, "event": AuditEventKind.REFUSED, "door": "token", "subject": API,
        "evidence": "jwt-svid", "credential": "ab" * 32, "outcome": "deny", "reason": reason,
        "ask": {"grant_type": "client_credentials", "scopes": ["ledger.read"], "resources": [], "proved": []},
    }  # fmt: skip
    event = AuditEvent(**(given | fields))
    store.audit.append(event)
    return event.id


def test_a_refusal_of_policy_is_decided_again(run: Run, store: Store) -> None:
    ask = {"grant_type": "client_credentials", "scopes": ["ledger.write"], "resources": [], "proved": []}
    ran = run("doctor", refusal(store, "policy_scope", ask=ask), "--json")
    assert ran.code == 1
    assert (ran.json["reason"], ran.json["verified"], ran.json["subject"]) == ("policy_scope", True, API)
    assert step(ran.json, "credential")["outcome"] == "ok"
    assert "same now" in ran.json["notes"][0]


def test_a_refusal_that_policy_would_not_repeat_is_said_to_be_of_then(run: Run, store: Store) -> None:
    ran = run("doctor", refusal(store, "policy_scope"), "--json")
    assert ran.code == 0
    assert "refused" in ran.json["notes"][0]
    assert "policy_scope" in ran.json["notes"][0]


def test_a_refusal_that_hung_on_its_moment_keeps_its_reason(run: Run, store: Store) -> None:
    ran = run("doctor", refusal(store, "credential_replayed"), "--json")
    assert ran.code == 1
    assert ran.json["reason"] == "credential_replayed"
    assert "Fetch a new SVID" in ran.json["advice"]
    assert step(ran.json, "policy")["outcome"] == "ok"


def line(identifier: str, **fields: object) -> str:
    said = {"event": "refused", "correlation_id": identifier, "door": "token", "reason": "jwt_audience", **fields}
    return json.dumps(said)


def test_a_caller_who_was_not_verified_is_found_in_the_log(run: Run, store: Store, folder: Path) -> None:
    wanted, log = new_id(), folder / "bridge.log"
    claimed = {
        "claimed_subject": f"{API}\x1b[2J",
        "claimed_audiences": ["https://other.example"],
        "detail": "aud is another",
    }
    log.write_text(
        "\n".join(["not json", line(new_id()), f"host bridge[7]: {line(wanted, **claimed)}", wanted, "{", ""])
    )
    ran = run("doctor", wanted, "--log", log, "--json")
    assert ran.code == 1
    assert (ran.json["reason"], ran.json["verified"]) == ("jwt_audience", False)
    assert "https://other.example" in step(ran.json, "audience")["found"]
    assert "-audience" in ran.json["advice"]
    assert run("doctor", wanted, "--log", log).out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("fields", "found"),
    [({}, True), ({"reason": "made_up"}, False), ({"reason": 7}, False), ({"correlation_id": ["x"]}, False)],
    ids=["as it is", "another release's", "no text", "no id"],
)
def test_only_a_line_of_this_release_is_read(
    run: Run, store: Store, folder: Path, fields: dict[str, object], found: bool
) -> None:
    wanted, log = new_id(), folder / "bridge.log"
    log.write_text(line(wanted, **fields))
    ran = run("doctor", wanted, "--log", log)
    assert (ran.code, "jwt_audience" in ran.out) == (1, found)


def test_an_id_that_nobody_knows_says_where_else_to_look(run: Run, store: Store, folder: Path) -> None:
    ran = run("doctor", new_id())
    assert ran.code == 1
    assert "--log FILE" in ran.err
    (folder / "empty.log").write_text("")
    assert "neither has" in run("doctor", new_id(), "--log", folder / "empty.log").err


# --- wrong usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["svid", "--socket", "unix:///x"],
        ["absent"],
        ["empty"],
        ["key.pem"],
        ["svid", "--x509"],
        ["svid", "--log", "svid"],
        ["AAAAAAAAAAAAAAAAAAAAAA", "--scope", "x"],
        ["--socket", "nonsense"],
        ["svid", "--config", "absent.toml"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(run: Run, authority: Authority, saved: Saved, folder: Path, words: list[str]) -> None:
    saved(authority.jwt_svid(PATH, ISSUER))
    (folder / "empty").write_text("")
    (folder / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert run("doctor", "svid").code == 0
    ran = run("doctor", *words)
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_policies_that_do_not_load_are_no_answer(run: Run, authority: Authority, saved: Saved, folder: Path) -> None:
    svid = saved(authority.jwt_svid(PATH, ISSUER))
    (folder / "policies" / "example.org.toml").write_text("nonsense")
    ran = run("doctor", svid)
    assert ran.code == 2
    assert "example.org.toml" in ran.err
