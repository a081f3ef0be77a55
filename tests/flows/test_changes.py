"""Everything that changes under a running service: keys, files, processes. No request is lost."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.flows.client import Answer, Client
from tests.flows.stand import RULES, Stand
from tests.live.processes import wait_until
from tests.live.traffic import Traffic


class Granted:
    """What `Traffic` wants to see of an answer."""

    def __init__(self, answer: Answer) -> None:
        self.granted, self.status, self.body = answer.status == 200, answer.status, answer.body


def traffic(stand: Stand, path: str = "/ns/web/sa/traffic") -> Traffic:
    return Traffic(lambda: Granted(stand.client.by_jwt(stand.jwt(path))))  # type: ignore[arg-type,return-value]


def server_certificate(client: Client) -> bytes:
    context = ssl.create_default_context(cafile=str(client._ca))
    with (
        socket.create_connection(("127.0.0.1", client.port), 10) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def test_a_changed_policy_acts_in_every_worker_and_loses_no_request_T_48(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand, traffic(stand) as flow:
        new = "/ns/new/sa/a"
        assert stand.client.by_jwt(stand.jwt(new)).status == 401
        stand.write_rules(RULES.replace('"/ns/web/sa/*"', '["/ns/web/sa/*", "/ns/new/sa/*"]'))
        everywhere = lambda: all(stand.client.by_jwt(stand.jwt(new)).status == 200 for _ in range(8))  # noqa: E731
        stand.until(everywhere, "every worker uses the new policy")
        flow.flows()


def test_a_faulty_policy_file_keeps_the_old_set_and_says_so_T_48(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand, traffic(stand) as flow:
        stand.write_rules(RULES.replace('effect = "deny"', 'effect = "dney"'))
        stand.until(lambda: "policy finding" in stand.log, "the fault is logged")
        flow.flows()
        assert stand.client.by_jwt(stand.jwt("/ns/web/sa/intruder")).status == 401
        assert stand.client.request("GET", "/readyz").body == {"ready": True}
        done = stand.bridge("policy", "check")
        assert done.returncode == 1
        assert "dney" in done.stdout + done.stderr or "effect" in done.stdout + done.stderr


def test_a_symlink_swap_of_the_whole_policy_folder_is_a_change(fresh: Callable[..., Stand]) -> None:
    stand = fresh()
    versions = stand.folder / "versions"
    versions.mkdir()
    stand.policies.rename(versions / "v1")
    stand.policies.symlink_to(versions / "v1")
    with stand:
        assert stand.client.by_jwt(stand.jwt("/ns/new/sa/a")).status == 401
        (versions / "v2").mkdir()
        for file in (versions / "v1").glob("*.toml"):
            text = file.read_text().replace('path = "/ns/web/sa/*"', 'path = "/ns/new/sa/*"')
            (versions / "v2" / file.name).write_text(text)
        (stand.folder / "next").symlink_to(versions / "v2")
        os.replace(stand.folder / "next", stand.policies)
        stand.until(lambda: stand.client.by_jwt(stand.jwt("/ns/new/sa/a")).status == 200, "the swap acts")


def test_a_rotated_jwt_authority_is_taken_over_and_the_revoked_one_refused(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand, traffic(stand) as flow:
        old = stand.jwt("/ns/web/sa/old")
        assert stand.client.by_jwt(old).status == 200
        stand.authority.rotate_jwt("prepare")
        stand.publish_bundle()
        # Each worker says so once at its start and once now.
        stand.until(lambda: stand.log.count("bundle changed") >= 4, "every worker has read the new key")
        flow.flows()
        stand.authority.rotate_jwt("activate")
        assert stand.client.by_jwt(old).status == 200
        stand.authority.rotate_jwt("taint", "revoke")
        stand.publish_bundle()
        stand.until(
            lambda: all(stand.client.by_jwt(old).status == 401 for _ in range(8)), "the old key's SVID is refused"
        )
        flow.flows()
        stand.until(lambda: any(row["event"] == "bundle_changed" for row in stand.audit()), "the change is audited")


def test_a_rotated_x509_authority_is_taken_over(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        old = stand.authority.x509_svid("/ns/web/sa/x")
        assert stand.client.by_x509(old).status == 200
        stand.authority.rotate_x509()
        stand.publish_bundle()
        new = stand.authority.x509_svid("/ns/web/sa/x")

        def taken() -> bool:
            try:
                return all(stand.client.by_x509(new).status == 200 for _ in range(8))
            except (ssl.SSLError, ConnectionError):
                return False

        stand.until(taken, "the new authority is trusted in every worker")
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            assert stand.client.by_x509(old).status == 200


def test_an_emptied_bundle_trusts_nothing_and_a_malformed_one_keeps_the_last_good_T_19(
    fresh: Callable[..., Stand],
) -> None:
    with fresh() as stand:
        bundle = stand.folder / "bundles/example.org.json"
        svid = stand.jwt("/ns/web/sa/x")
        assert stand.client.by_jwt(svid).status == 200
        bundle.write_text("{")
        stand.until(lambda: '"malformed"' in readiness(stand) or "late" in readiness(stand), "the fault is seen")
        assert stand.client.by_jwt(svid).status == 200
        bundle.write_text('{"keys": []}')
        # Each worker reads the file by itself, so one may refuse while the other does not know yet.
        refused = lambda: all(stand.client.by_jwt(svid).status == 401 for _ in range(8))  # noqa: E731
        stand.until(refused, "an empty bundle trusts nothing")
        stand.until(lambda: stand.client.request("GET", "/readyz").status == 503, "and nobody is ready")


def readiness(stand: Stand) -> str:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", stand.metrics_port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_missing_bundle_starts_and_answers_503_never_invalid_client(fresh: Callable[..., Stand]) -> None:
    stand = fresh()
    (stand.folder / "bundles/example.org.json").unlink()
    with stand:
        answer = stand.client.by_jwt(stand.jwt("/ns/web/sa/x"))
        assert (answer.status, answer.error) == (503, "temporarily_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert stand.client.request("GET", "/readyz").status == 503
        stand.publish_bundle()
        stand.until(lambda: stand.client.by_jwt(stand.jwt("/ns/web/sa/x")).status == 200, "the bundle is read")


def test_a_bundle_past_max_stale_fails_closed_with_503(fresh: Callable[..., Stand]) -> None:
    stand = fresh()
    text = stand.config.read_text()
    stand.config.write_text(text.replace('source = "file"', 'source = "file"\nmax_stale = "2s"'))
    with stand:
        svid = stand.jwt("/ns/web/sa/x")
        assert stand.client.by_jwt(svid).status in (200, 503)
        (stand.folder / "bundles/example.org.json").unlink()
        stand.until(lambda: stand.client.by_jwt(svid).status == 503, "the last good bundle is too old")


def test_a_changed_server_certificate_is_used_and_no_request_is_lost(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand, traffic(stand) as flow:
        before = server_certificate(stand.client)
        stand.renew_certificate()
        stand.until(lambda: all(server_certificate(stand.client) != before for _ in range(8)), "it is in use")
        flow.flows()


def test_a_killed_worker_is_replaced_while_the_other_serves_F_1(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        first = stand.client.by_jwt(stand.jwt("/ns/web/sa/survivor"))
        victims = stand.worker_pids()
        assert len(victims) == 2
        os.kill(victims[0], signal.SIGKILL)
        wait_until(
            lambda: victims[0] not in stand.worker_pids() and len(stand.worker_pids()) == 2,
            seconds=20,
            what="the killed worker is replaced",
        )
        assert stand.client.by_jwt(stand.jwt("/ns/web/sa/survivor")).status == 200
        assert any(row["jti"] == first.claims["jti"] for row in stand.audit())


def _replace_workers(stand: Stand) -> None:
    """Kill every worker, as a crash would, and wait until each has been replaced and answers again."""
    victims = set(stand.worker_pids())
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: len(set(stand.worker_pids()) - victims) == len(victims), seconds=60, what="the workers are replaced"
    )

    def answers() -> bool:
        try:
            return stand.client.request("GET", "/healthz").status == 200
        except OSError:
            return False

    wait_until(answers, seconds=60, what="the new workers answer")


def test_a_worker_that_replaces_a_dead_one_goes_by_the_configuration_that_was_started(
    fresh: Callable[..., Stand],
) -> None:
    def life(stand: Stand) -> int:
        answer = stand.client.by_jwt(stand.jwt("/ns/web/sa/survivor"))
        assert answer.status == 200
        expires_in: int = answer.body["expires_in"]
        return expires_in

    with fresh() as stand:
        before = life(stand)
        given = stand.config.read_text()
        for edit in (given + '\n[tokens]\ndefault_ttl = "2m"\n', "no configuration any more ["):
            stand.config.write_text(edit)
            _replace_workers(stand)
            assert life(stand) == before != 120
        os.kill(stand.pid, signal.SIGHUP)
        said = f"{stand.config} changed, and is read at the start only"
        stand.until(lambda: said in stand.log, "a worker that came after the edit says that it does not act")
        stand.config.write_text(given + '\n[tokens]\ndefault_ttl = "2m"\n')
        assert stand.stop() == 0
        stand.start()
        assert life(stand) == 120


def test_what_was_acknowledged_survives_a_kill_of_everything_F_1(fresh: Callable[..., Stand]) -> None:
    stand = fresh().start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: stand.client.by_jwt(stand.jwt(f"/ns/web/sa/k{n}")), range(60)))
    once = stand.jwt("/ns/once/sa/k")
    assert stand.client.by_jwt(once).status == 200
    workers = stand.worker_pids()
    os.kill(stand.pid, signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    stand.kill()
    stand.start()
    issued = {row["jti"] for row in stand.audit()}
    assert {answer.claims["jti"] for answer in answers} <= issued
    assert len([c for c in stand.clients() if "/sa/k" in c["subject"]]) == 61
    assert stand.client.by_jwt(once).status == 401  # F-9, T-34
    assert stand.bridge("audit", "verify").returncode == 0
    assert stand.stop() == 0


def test_rotated_signing_keys_are_published_before_they_sign_F_7(fresh: Callable[..., Stand]) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    with fresh() as stand:
        cached = KeySet.import_key_set(stand.client.request("GET", "/jwks").body)  # type: ignore[arg-type]
        before = stand.client.by_jwt(stand.jwt("/ns/web/sa/x")).token
        assert stand.bridge("keys", "rotate").returncode == 0

        def signed_by_the_next() -> bool:
            token = stand.client.by_jwt(stand.jwt("/ns/web/sa/x")).token
            return jwt.decode(token, cached, algorithms=["ES256"]).header["kid"] != kid

        kid = jwt.decode(before, cached, algorithms=["ES256"]).header["kid"]
        stand.until(signed_by_the_next, "the next key signs, and the cached key set knows it")
        published = [key["kid"] for key in stand.client.request("GET", "/jwks").body["keys"]]
        assert kid in published
        assert any(row["event"] == "keys_rotated" for row in stand.audit())


def test_sigterm_ends_with_exit_code_0(fresh: Callable[..., Stand]) -> None:
    assert fresh().start().stop() == 0
