"""An authority is lost: which tokens, refresh tokens and leases came of it, and their end in one command."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.app import Worker
from bridge.config import load_settings
from bridge.lab.authority import Authority, X509Authority
from bridge.lab.rotation import KeySlots
from bridge.lab.x509 import CertificateAuthority, certify, intermediate_profile
from bridge.spire.book import fingerprint
from tests.flows.approving import Approving, Verifier, running
from tests.flows.client import jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.stand import RULES, Stand
from tests.flows.timed import INSTANCE_RULES

WEB, PAY, BATCH = "/ns/web/sa/shop", "/ns/payments/sa/settle", "/ns/batch/sa/nightly"
JOB, DESK, ID = "/ns/jobs/sa/nightly", "/ns/people/sa/desk", "spiffe://example.org"
DOMAIN = "example.org"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Approving]:
    with running(tmp_path / "service", rules=INSTANCE_RULES) as service:
        yield service


def publish(house: Approving) -> None:
    """The service has the authority's present bundle when this returns."""
    house.stand.publish_bundle()
    published = {key.kid for key in house.stand.authority.jwt_keys.published()}
    roots = {fingerprint(one.root.der) for one in house.stand.authority.x509_keys.published()}

    def is_read() -> bool:
        house.look()
        code, said = house.operate("trust", "list", "--json")
        (listed,) = json.loads(said)
        assert code == 0
        in_force = house.process.worker._sources.book.statuses(house.clock())
        (bundle,) = (status.bundle for status in in_force)
        assert bundle is not None
        held = {fingerprint(der) for der in bundle.x509_authorities}
        return {key.key_id for key in bundle.jwt_authorities} == published and held == roots == set(
            listed["x509_authorities"]
        )

    house.stand.until(is_read, "the bundle is read")


def impact(house: Approving, *words: str) -> tuple[int, dict[str, Any]]:
    code, said = house.operate("trust", "impact", DOMAIN, *words, "--json")
    return code, json.loads(said)


def listed(house: Approving, *words: str) -> set[str]:
    """The `jti` of each token that rests on it."""
    code, said = house.operate("trust", "impact", DOMAIN, *words, "--tokens", "--all", "--json")
    found = {token["jti"] for token in json.loads(said)}
    assert code == (1 if found else 0)
    return found


def rows_of(house: Approving, run: str) -> list[dict[str, Any]]:
    code, said = house.operate("audit", "show", run, "--json")
    assert code == 0
    return [json.loads(line) for line in said.splitlines()]


def test_after_a_jwt_key_is_lost_exactly_what_it_vouched_for_is_found_and_ended(house: Approving) -> None:
    """Its twin, by the key that came after, stays alive, and so does what a certificate brought."""
    authority = house.stand.authority
    lost = authority.jwt_keys.active.kid
    old = [house.by_jwt(path) for path in (WEB, WEB, BATCH)]
    by_certificate = house.by_x509(authority.x509_svid(PAY))
    authority.rotate_jwt("prepare", "activate")
    publish(house)
    new = [house.by_jwt(path) for path in (WEB, BATCH)]
    assert impact(house)[0] == 0, "as long as it stands in the bundle, nothing of it is missing"
    assert listed(house, lost) == {answer.claims["jti"] for answer in old}, "though it can be asked for"
    authority.rotate_jwt("taint", "revoke")
    publish(house)

    code, found = impact(house)
    (of_lost,) = found["authorities"]
    assert (code, of_lost["authority"], of_lost["kind"], of_lost["in_bundle"]) == (1, lost, "jwt", False)
    assert (of_lost["tokens"], of_lost["clients"]) == (3, 2)
    shares = {(one["client_id"], one["subject"]): one["tokens"] for one in found["clients"]}
    assert shares == {(ID + WEB, ID + WEB): 2, ("batch", ID + BATCH): 1}
    for words in ((), (lost,), (lost[:8],)):
        assert listed(house, *words) == {answer.claims["jti"] for answer in old}

    code, ended = impact(house, lost[:8], "--revoke", "--yes", "--note", "INC-42")
    assert (code, {name: ended["revoked"][name] for name in ("tokens", "grants", "leases")}) == (
        0,
        {"tokens": 3, "grants": 0, "leases": 0},
    )
    # The job's tokens are for orders: the ledger may not ask about them, the job itself may.
    paths = (WEB, WEB, BATCH, WEB, BATCH, PAY)
    answers = (*old, *new, by_certificate)
    lives = [house.is_active(one.body["access_token"], by=path) for one, path in zip(answers, paths, strict=True)]
    assert lives == [False, False, False, True, True, True]
    assert house.by_jwt(WEB).claims["epoch"] == new[0].claims["epoch"], "the client never ended"

    rows = rows_of(house, ended["revoked"]["id"])
    assert {row["jti"] for row in rows} == {answer.claims["jti"] for answer in old}
    said = {(row["event"], row["outcome"], row["reason"], row["key_id"]) for row in rows}
    assert said == {("revoked", f"authority {lost}", "INC-42", lost)}
    again, nothing = impact(house, lost, "--revoke", "--yes")
    assert (again, nothing["revoked"]["tokens"], nothing["authorities"]) == (0, 0, [])
    assert impact(house)[0] == 0
    assert house.operate("audit", "verify")[0] == 0


def test_tokens_from_before_their_longest_life_was_shortened_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shortens it in a hurry must not lose sight of those that were issued before and live on."""
    with running(tmp_path / "service", more='[tokens]\nmax_ttl = "6h"\ndefault_ttl = "6h"\n') as house:
        old = house.by_jwt(WEB)
        authority = house.stand.authority
        authority.rotate_jwt("prepare", "activate", "taint", "revoke")
        publish(house)
        house.after(4 * 3600)
        assert house.is_active(old.body["access_token"])
        monkeypatch.setenv("BRIDGE_TOKENS__MAX_TTL", "5m")
        monkeypatch.setenv("BRIDGE_TOKENS__DEFAULT_TTL", "5m")
        assert listed(house) == {old.claims["jti"]}
        assert listed(house, "--since", "1h") == set(), "unless the operator knows better"


@pytest.mark.parametrize("named", ["nothing", "root", "root key", "intermediate", "intermediate key"])
def test_after_a_ca_is_lost_what_came_of_it_is_found_by_any_ca_of_the_chain(house: Approving, named: str) -> None:
    """The leaf names the intermediate alone; it is the root that the bundle lost."""
    authority = house.stand.authority
    lost = authority.x509_keys.active
    old = house.by_x509(authority.x509_svid(PAY))
    late = authority.x509_svid(PAY)
    authority.rotate_x509("prepare", "activate")
    publish(house)
    still = house.by_x509(late)
    new = house.by_x509(authority.x509_svid(PAY))
    by_token = house.by_jwt(WEB)
    authority.rotate_x509("taint", "revoke")
    publish(house)
    assert house.by_x509(late).error == (401, "invalid_client")
    words = [] if named == "nothing" else [_name(lost.root if "root" in named else lost.signer, named)[:16]]
    assert listed(house, *words) == {old.claims["jti"], still.claims["jti"]}
    code, found = impact(house, *words, "--revoke", "--yes")
    assert (code, found["revoked"]["tokens"]) == (0, 2)
    (of_lost,) = found["authorities"]
    assert of_lost["kind"] == ("intermediate" if "intermediate" in named else "anchor")
    assert of_lost["in_bundle"] is (None if "intermediate" in named else False)
    lives = [house.is_active(answer.body["access_token"]) for answer in (old, still, new, by_token)]
    assert lives == [False, False, True, True]
    assert impact(house, *words)[0] == 0


def _name(ca: CertificateAuthority, named: str) -> str:
    return ca.key_id.hex() if "key" in named else fingerprint(ca.der)


def test_leases_and_grants_end_with_the_authority_that_they_rest_on(house: Approving) -> None:
    """What another authority renewed since stays, and so does the user's consent to the client."""
    authority = house.stand.authority
    lost = authority.jwt_keys.active.kid
    left, renewed = DpopKey(), DpopKey()
    names = [house.by_jwt(JOB, key=key).claims["client_id"] for key in (left, renewed)]
    by_key = house.by_key(left, names[0])
    refresh_tokens = []
    for _ in range(2):
        pkce = Verifier()
        code = house.code(ID + DESK, house.pushed(house.agent(DESK), pkce))
        refresh_tokens.append(house.redeem(house.agent(DESK), code, pkce).body["refresh_token"])
    authority.rotate_jwt()
    publish(house)
    assert house.by_jwt(JOB, key=renewed, ttl=600).claims["client_id"] == names[1]
    kept = house.refresh(house.agent(DESK), refresh_tokens[1])
    assert kept.status == 200
    assert by_key.claims["jti"] in listed(house), "its own key is worth what vouched for its lease"

    exit_code, found = impact(house, lost, "--revoke", "--yes")
    assert (exit_code, found["revoked"]["grants"], found["revoked"]["leases"]) == (0, 1, 1)
    assert [house.standing(name) for name in names] == ["revoked", "active"]
    assert house.by_key(left, names[0]).error == (401, "invalid_client")
    assert house.by_key(renewed, names[1]).status == 200
    assert not house.is_active(by_key.body["access_token"])
    assert house.refresh(house.agent(DESK), refresh_tokens[0]).error == (400, "invalid_grant")
    assert house.is_active(kept.body["access_token"])
    assert house.refresh(house.agent(DESK), refresh_tokens[1]).status == 200
    assert [house.introspect(token, by=DESK)["active"] for token in refresh_tokens] == [False, True]
    whats = sorted(row["ask"]["ended"] for row in rows_of(house, found["revoked"]["id"]))
    assert (whats[0], whats[1], set(whats[2:])) == ("grant", "lease", {"token"})
    assert house.by_jwt(JOB, key=left).claims["client_id"] == names[0], "a new SVID brings it back"


def test_a_key_that_only_a_lost_certificate_brought_ends_with_it_T_46(house: Approving) -> None:
    """The statement was somebody's good JWT-SVID; the certificate beside it let the key in."""
    authority = house.stand.authority
    key = DpopKey()
    root = authority.x509_keys.active.root
    jwks = {"keys": [key._key.as_dict(private=False)]}
    body = {"software_statement": house.stand.svid(JOB), "jwks": jwks}
    name = house.register(body, svid=authority.x509_svid(JOB)).registered["client_id"]
    issued = house.by_key(key, name)
    assert house.is_active(issued.body["access_token"])
    authority.rotate_x509()
    publish(house)
    code, found = impact(house)
    (of_lost,) = found["authorities"]
    assert (code, of_lost["authority"], of_lost["leases"], of_lost["tokens"]) == (1, fingerprint(root.der), 1, 1)
    assert impact(house, "--revoke", "--yes")[0] == 0
    assert not house.is_active(issued.body["access_token"])
    assert house.by_key(key, name).error == (401, "invalid_client")


def test_the_names_that_an_operator_has_find_the_rows_and_the_keys(house: Approving) -> None:
    """As `trust show` says them: in all rows that a CA vouched for, in the log's own export too."""
    authority = house.stand.authority
    issued = house.by_x509(authority.x509_svid(PAY))
    code, said = house.operate("trust", "show", DOMAIN, "--json")
    shown = next(key for key in json.loads(said)["keys"] if key["use"] == "x509-svid")
    assert (code, shown["key_id"]) == (0, authority.x509_keys.active.root.key_id.hex())
    code, said = house.operate("audit", "export")
    for name in (shown["id"], shown["key_id"], fingerprint(authority.x509_keys.active.signer.der)):
        rows = [row for line in said.splitlines() if name in line and (row := json.loads(line))["subject"] == ID + PAY]
        assert [row["event"] for row in rows] == ["registered", "token_issued"]
    assert rows[1]["jti"] == issued.claims["jti"]
    for name in (shown["id"], shown["key_id"]):
        assert listed(house, name) == {issued.claims["jti"]}


def test_what_a_client_lost_otherwise_rests_on_nobody_any_more(house: Approving) -> None:
    house.by_jwt(WEB)
    lost = house.stand.authority.jwt_keys.active.kid
    assert impact(house, lost)[0] == 1
    assert house.operate("clients", "revoke", ID + WEB)[0] == 0
    assert impact(house, lost)[0] == 0
    house.by_jwt(WEB)
    assert impact(house, lost)[1]["authorities"][0]["tokens"] == 1
    house.clock.offset += 3600
    assert impact(house, lost)[0] == 0, "expired"


def test_a_slip_of_the_pen_never_looks_like_good_news(house: Approving) -> None:
    """Exit 2 and no answer: unknown, ambiguous, a trust domain of nobody. Its twins are known, and answered."""
    authority = house.stand.authority
    first = authority.jwt_keys.active.kid
    house.process.worker._news.note(house.clock())
    authority.rotate_jwt()
    publish(house)
    house.process.worker._news.note(house.clock())
    typed: tuple[tuple[tuple[str, ...], int], ...] = (
        ((first,), 0),
        ((first + "x",), 2),
        ((first[:3],), 2),
        ((authority.jwt_keys.active.kid,), 0),
        ((fingerprint(authority.x509_keys.active.root.der),), 0),
        ((fingerprint(authority.x509_keys.active.root.der)[::-1],), 2),
    )
    for words, code in typed:
        assert house.operate("trust", "impact", DOMAIN, *words)[0] == code, words
    assert house.operate("trust", "impact", "nowhere.example")[0] == 2
    assert house.operate("trust", "impact", "not a trust domain")[0] == 2
    for wrong in (("--yes",), ("--note", "INC-42"), ("--revoke", "--tokens", "--yes")):
        assert house.operate("trust", "impact", DOMAIN, *wrong)[0] == 2, wrong


def test_nothing_ends_unless_somebody_said_so(house: Approving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sits there; somebody does and says no; yes."""
    token = house.by_jwt(WEB).body["access_token"]
    words = ("trust", "impact", DOMAIN, house.stand.authority.jwt_keys.active.kid, "--revoke")
    for typed, code in ((None, 1), ("n\n", 1), ("y\n", 0)):
        assert house.is_active(token)
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        assert house.operate(*words)[0] == code
    assert not house.is_active(token)


class Terminal(io.StringIO):
    """What somebody types at a terminal; None: there is no terminal."""

    def __init__(self, typed: str | None) -> None:
        super().__init__(typed or "")
        self._is_there = typed is not None

    def isatty(self) -> bool:
        return self._is_there


def test_of_a_trust_domain_that_was_taken_out_everything_rests_on_nobody(house: Approving) -> None:
    issued = house.by_jwt(WEB)
    house.process.worker.close()
    config = house.stand.config
    config.write_text(config.read_text().replace(f'[trust_domains."{DOMAIN}"]', '[trust_domains."elsewhere.example"]'))
    (house.stand.policies / f"{DOMAIN}.toml").unlink()
    (house.stand.policies / "elsewhere.example.toml").write_text(
        RULES.replace(f'trust_domain = "{DOMAIN}"', 'trust_domain = "elsewhere.example"')
    )
    house.process.settings = load_settings(config)
    house.process.worker = Worker(house.process.settings)
    house.process.worker.start()
    assert listed(house) == {issued.claims["jti"]}
    assert impact(house, "--revoke", "--yes")[0] == 0
    assert house.process.worker._store.tokens.is_revoked(issued.claims["jti"])


def test_beside_a_running_service_every_worker_hears_of_it_and_the_twin_lives(stand: Stand) -> None:
    """One intermediate of two under one root is lost, which no bundle shows: the same client's other token lives."""
    lost = beside(stand)
    tokens = [stand.client.by_x509(one.x509_svid(PAY)).token for one in (lost, stand.authority)]
    asking = jwt_fields(stand.jwt("/ns/ledger/sa/api"))
    lives = [stand.client.post("/introspect", {**asking, "token": token}).body["active"] for token in tokens]
    assert lives == [True, True]
    signer = lost.x509_keys.active.signer.key_id.hex()
    done = stand.bridge("trust", "impact", DOMAIN, signer, "--revoke", "--yes")
    assert done.returncode == 0, done.stderr
    assert "revoked 1 token, 0 grants, 0 leases" in done.stdout
    assert "a server that checks only signatures takes these until" in done.stderr
    for _ in range(8):
        lives = [stand.client.post("/introspect", {**asking, "token": token}).body["active"] for token in tokens]
        assert lives == [False, True]
    own = {"client_id": ID + PAY, "token": tokens[0]}
    assert stand.client.post("/revoke", own, svid=stand.authority.x509_svid(PAY)).status == 200, "and it is no error"


def beside(stand: Stand) -> Authority:
    """The trust domain with another intermediate under the same root, as a second SPIRE server has one."""
    now, root = int(time.time()), stand.authority.x509_keys.active.root
    key = ec.generate_private_key(ec.SECP256R1())
    profile = intermediate_profile(f"spiffe://{DOMAIN}", not_before=now - 60, not_after=now + 3600)
    signer = CertificateAuthority(certify(root, key, profile), key)
    return Authority(DOMAIN, x509_keys=KeySlots(X509Authority(root, signer)))
