"""Whose keys count: two trust domains beside each other, halves of bundles, the system's store; and what is held
when the store is locked, an operator denies under load, or the service restarts.
"""

from __future__ import annotations

import json
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.lab.authority import Authority
from bridge.lab.broken_jwt import mint_jwt
from bridge.lab.broken_x509 import mint_x509
from bridge.lab.x509 import X509Svid
from tests.flows.client import Answer, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.stand import ORDERS, Stand

# One service for all of them, in one of the processes that run the tests.
pytestmark = pytest.mark.xdist_group("trust-domains")
DOMAINS = ("other.example", "x509-only.example", "jwt-only.example")


class Pair:
    """A service that trusts example.org, other.example and two halves; and a CA that only the system trusts."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.public_ca = Authority("example.org")
        root = x509.load_der_x509_certificate(self.public_ca.x509_bundle())
        system = folder.parent / "system-roots.pem"
        system.write_bytes(root.public_bytes(Encoding.PEM))
        patch.setenv("SSL_CERT_FILE", str(system))
        # No file is called what it holds: whose bundle it is, is for the configuration to say.
        files = {"other.example": "example.org-next.json", "x509-only.example": "b.json", "jwt-only.example": "c.json"}
        more = "".join(
            f'[trust_domains."{name}"]\nsource = "file"\npath = "bundles/{file}"\n' for name, file in files.items()
        )
        self.stand = Stand(folder, more=more)
        self.others = {name: Authority(name) for name in DOMAINS}
        for name, file in files.items():
            bundle = self.others[name].bundle()
            use = {"x509-only.example": "x509-svid", "jwt-only.example": "jwt-svid"}.get(name)
            entries: list[Any] = bundle["keys"]  # type: ignore[assignment]
            bundle["keys"] = [entry for entry in entries if use in (None, entry["use"])]
            (folder / "bundles" / file).write_text(json.dumps(bundle))
            (folder / "policies" / f"{name}.toml").write_text(
                f'version = 1\nsource = "spiffe"\ntrust_domain = "{name}"\n'
                f'[[rule]]\nid = "{name.split(".")[0]}-web"\nwhy = "a partner"\neffect = "allow"\n'
                f'when = {{ path = "/ns/web/sa/*" }}\n'
                f'grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present" }}\n'
            )
        own = json.loads((folder / "bundles/example.org.json").read_text())
        own["keys"] += [
            {**own["keys"][0], "use": "tls-client"},
            {"kty": "OKP", "use": "jwt-svid", "crv": "Ed25519", "x": "AAAA", "kid": "odd"},
            {**{k: v for k, v in own["keys"][0].items() if k != "x5c"}},
        ]
        (folder / "bundles/example.org.json").write_text(json.dumps(own))

    def jwt(self, name: str, path: str = "/ns/web/sa/a") -> Answer:
        return self.stand.client.by_jwt(self.others[name].jwt_svid(path, self.stand.client.issuer))

    def x509(self, svid: X509Svid) -> Answer | None:
        """The answer, or None when the handshake said no."""
        try:
            return self.stand.client.by_x509(svid)
        except (ssl.SSLError, ConnectionError):
            return None


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as patch:
        made = Pair(tmp_path_factory.mktemp("pair") / "service", patch)
        # The control of SCA-17: whoever asks for the system's roots in this environment gets that CA.
        assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 1
        with made.stand:
            yield made


def serves(stand: Stand) -> bool:
    try:
        return stand.client.request("GET", "/readyz").status == 200
    except ConnectionError:
        return False


def is_refused(answer: Answer) -> bool:
    return (answer.status, answer.error) == (401, "invalid_client")


def test_each_trust_domain_is_admitted_by_its_own_keys_and_rules(pair: Pair) -> None:
    theirs, ours = pair.jwt("other.example"), pair.stand.client.by_jwt(pair.stand.jwt("/ns/web/sa/a"))
    assert (theirs.claims["sub"], theirs.body["scope"]) == ("spiffe://other.example/ns/web/sa/a", "orders.read")
    assert (ours.claims["sub"], ours.body["scope"]) == ("spiffe://example.org/ns/web/sa/a", "ledger.read")


@pytest.mark.parametrize("victim", ["example.org", "other.example"], ids=lambda v: f"SCA-7 SCA-27 T-12 {v}")
def test_no_trust_domain_s_keys_vouch_for_another_s_identity(pair: Pair, victim: str) -> None:
    ours, theirs = pair.stand.authority, pair.others["other.example"]
    mine, attacker = (ours, theirs) if victim == "example.org" else (theirs, ours)
    issuer, path = pair.stand.client.issuer, "/ns/web/sa/victim"
    forged = mint_jwt(mine, "other-trust-domain", path, issuer, other=attacker)
    assert is_refused(pair.stand.client.by_jwt(forged))
    # Both roots are anchors of the handshake: it is the application that keeps them apart (SPIFFE-10).
    answer = pair.x509(mint_x509(mine, "other-trust-domain", path, other=attacker))
    assert answer is not None
    assert is_refused(answer)
    sound = pair.x509(mine.x509_svid(path))
    assert sound is not None
    assert sound.claims["sub"] == f"spiffe://{victim}{path}"
    assert pair.stand.client.by_jwt(mine.jwt_svid(path, issuer)).status == 200


def test_what_the_system_trusts_vouches_for_nobody_SCA_17(pair: Pair) -> None:
    answer = pair.x509(pair.public_ca.x509_svid("/ns/web/sa/public"))
    assert answer is None or is_refused(answer)
    twin = pair.x509(pair.stand.authority.x509_svid("/ns/web/sa/public"))
    assert twin is not None
    assert twin.status == 200


def test_the_configuration_says_whose_a_bundle_is_and_not_its_name_SPIFFE_28(pair: Pair) -> None:
    assert pair.jwt("other.example", "/ns/web/sa/named").status == 200
    listed = {row["trust_domain"]: row for row in pair.stand.json("trust", "list")}
    assert set(listed) == {"example.org", *DOMAINS}


def test_a_bundle_without_keys_of_a_use_trusts_nothing_of_that_kind_SCA_34_SPIFFE_17(pair: Pair) -> None:
    assert is_refused(pair.jwt("x509-only.example"))
    assert pair.jwt("jwt-only.example").status == 200
    certified = pair.x509(pair.others["x509-only.example"].x509_svid("/ns/web/sa/a"))
    assert certified is not None
    assert certified.status == 200
    unanchored = pair.x509(pair.others["jwt-only.example"].x509_svid("/ns/web/sa/a"))
    assert unanchored is None or is_refused(unanchored)


def test_odd_entries_of_a_bundle_leave_the_others_in_force_SPIFFE_21_SPIFFE_22(pair: Pair) -> None:
    assert pair.stand.client.by_jwt(pair.stand.jwt("/ns/web/sa/odd")).status == 200
    certified = pair.x509(pair.stand.authority.x509_svid("/ns/web/sa/odd"))
    assert certified is not None
    assert certified.status == 200


def test_a_locked_store_is_503_and_never_a_token_or_invalid_client_T_51_T_53(pair: Pair) -> None:
    known, new = "/ns/web/sa/locked", "/ns/web/sa/locked-out"
    assert pair.stand.client.by_jwt(pair.stand.jwt(known)).status == 200
    lock = sqlite3.connect(pair.stand.folder / "bridge.db", isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        for path in (known, new):
            answer = pair.stand.client.by_jwt(pair.stand.jwt(path))
            assert (answer.status, answer.error) == (503, "temporarily_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
    finally:
        lock.close()
    assert not any(c["subject"].endswith("locked-out") for c in pair.stand.clients())
    for path in (known, new):
        assert pair.stand.client.by_jwt(pair.stand.jwt(path)).status == 200
    assert pair.stand.bridge("audit", "verify").returncode == 0


def test_no_token_is_written_behind_a_denial_however_many_are_asked_for_T_40_ROFU_25(pair: Pair) -> None:
    path = "/ns/web/sa/denied-under-load"
    name, stand = f"spiffe://example.org{path}", pair.stand
    known, denied = Event(), Event()

    def ask() -> list[Answer]:
        answers = []
        for _ in count():
            last_round = denied.is_set()
            answers.append(stand.client.by_jwt(stand.jwt(path)))
            known.set()
            if last_round:
                return answers
        raise AssertionError("unreachable")

    with ThreadPoolExecutor(4) as pool:
        flows = [pool.submit(ask) for _ in range(4)]
        assert known.wait(20)
        done = stand.bridge("clients", "deny", name)
        denied.set()
        assert done.returncode == 0, done.stderr
        answers = [flow.result() for flow in flows]
    # Each flow's last request was sent after the command had returned.
    assert all(is_refused(flow[-1]) for flow in answers)
    assert {a.status for flow in answers for a in flow} == {200, 401}
    rows = [row for row in stand.audit() if name in (row["subject"], row["client_id"])]
    events = [row["event"] for row in rows]
    assert events.count("registered") == 1
    assert "token_issued" not in events[events.index("denied") :]
    granted = [a for flow in answers for a in flow if a.status == 200]
    question = jwt_fields(stand.jwt("/ns/ledger/sa/api")) | {"token": granted[-1].token}
    assert stand.client.post("/introspect", question).body == {"active": False}


def test_what_was_used_once_stays_used_over_a_restart_F_9_T_34(fresh: Callable[..., Stand]) -> None:
    stand = fresh().start()
    once, edge = stand.jwt("/ns/once/sa/restart"), "/ns/edge/sa/restart"
    key = DpopKey()
    proof = [("DPoP", key.proof("POST", stand.client.issuer + "/token"))]
    assert stand.client.by_jwt(once).status == 200
    first = stand.client.by_jwt(stand.jwt(edge), headers=proof)
    assert first.status == 200
    fields = jwt_fields(stand.jwt("/ns/web/sa/restart"))
    ended = stand.client.post("/token", fields).token
    assert stand.client.post("/revoke", fields | {"token": ended}).status == 200
    assert stand.stop() == 0
    stand.launch()
    stand.until(lambda: serves(stand), "it serves again")
    assert is_refused(stand.client.by_jwt(once))
    assert stand.client.by_jwt(stand.jwt(edge), headers=proof).error == "invalid_dpop_proof"
    assert stand.client.post("/introspect", fields | {"token": ended}).body == {"active": False}
    fresh_proof = [("DPoP", key.proof("POST", stand.client.issuer + "/token"))]
    after = stand.client.by_jwt(stand.jwt(edge), headers=fresh_proof)
    assert after.claims["client_id"] == first.claims["client_id"]  # ROFU-5
    assert len(stand.clients()) == 3


def test_registrations_have_a_rate_and_known_clients_spend_none_of_it_ROFU_28(fresh: Callable[..., Stand]) -> None:
    with fresh(more="[limits]\nregistrations_per_second = 1\nregistration_burst = 3") as stand:
        answers = [stand.client.by_jwt(stand.jwt(f"/ns/web/sa/rate{n}")) for n in range(20)]
        assert {answer.status for answer in answers[:3]} == {200}
        over = [answer for answer in answers if answer.status != 200]
        assert {(answer.status, answer.error) for answer in over} == {(429, "temporarily_unavailable")}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in over)
        assert all("registration" in answer.body["error_description"] for answer in over)
        assert stand.client.by_jwt(stand.jwt("/ns/web/sa/rate0")).status == 200
