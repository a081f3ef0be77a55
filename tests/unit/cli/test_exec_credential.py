"""A token for a kubeconfig: in the version that was asked for, with the end of its life, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.cli.options import Failure
from bridge.cli.token.exec_credential import exec_credential, version_wanted
from bridge.cli.token.request import Granted
from tests.unit.cli.conftest import Run

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


def asked(**members: Any) -> dict[str, str]:
    whole = {"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": False}, **members}
    return {"KUBERNETES_EXEC_INFO": json.dumps(whole)}


@pytest.mark.parametrize(
    ("environment", "version"),
    [
        pytest.param({}, V1, id="unasked"),
        pytest.param({"KUBERNETES_EXEC_INFO": ""}, V1, id="empty"),
        pytest.param(asked(), V1, id="v1"),
        pytest.param(asked(apiVersion=V1BETA1), V1BETA1, id="v1beta1"),
        pytest.param(asked(spec={"cluster": {"server": "https://k8s", "config": {"a": [1]}}}), V1, id="with-cluster"),
        pytest.param(asked(apiVersion="client.authentication.k8s.io/v1alpha1"), None, id="v1alpha1"),
        pytest.param(asked(apiVersion="client.authentication.k8s.io/v2"), None, id="v2"),
        pytest.param(asked(apiVersion=1), None, id="number"),
        pytest.param(asked(apiVersion=None), None, id="null"),
        pytest.param(asked(apiVersion=[V1]), None, id="list"),
        pytest.param(asked(kind="Pod"), None, id="another-kind"),
        pytest.param({"KUBERNETES_EXEC_INFO": "[]"}, None, id="no-object"),
        pytest.param({"KUBERNETES_EXEC_INFO": "{"}, None, id="no-json"),
    ],
)
def test_the_version_of_whoever_asks_is_answered_or_refused(environment: dict[str, str], version: str | None) -> None:
    if version is not None:
        assert version_wanted(environment) == version
        return
    with pytest.raises(Failure):
        version_wanted(environment)


def test_a_refused_version_names_the_known_ones() -> None:
    with pytest.raises(Failure, match=f"{V1} and {V1BETA1}"):
        version_wanted(asked(apiVersion="client.authentication.k8s.io/v1alpha1\x1b[2J"))


@pytest.mark.parametrize(
    ("lifetime", "end"),
    [(300, "2027-01-15T08:05:00Z"), (0, "2027-01-15T08:00:00Z"), (10**18, "9999-12-31T23:59:59Z"), (None, None)],
)
def test_the_end_is_counted_from_before_the_request(lifetime: int | None, end: str | None) -> None:
    made = exec_credential(Granted({}, "abc", "Bearer", lifetime, None), V1, asked_at=1_800_000_000)
    status = {"token": "abc"} | ({} if end is None else {"expirationTimestamp": end})
    assert made == {"apiVersion": V1, "kind": "ExecCredential", "status": status}


@pytest.mark.parametrize(("token_type", "taken"), [("Bearer", True), ("bearer", True), ("DPoP", False), ("N_A", False)])
def test_only_a_bearer_token_is_of_use_to_kubernetes(token_type: str, taken: bool) -> None:
    granted = Granted({}, "abc", token_type, 300, None)
    if taken:
        assert exec_credential(granted, V1, asked_at=0)["status"]
        return
    with pytest.raises(Failure, match="bearer"):
        exec_credential(granted, V1, asked_at=0)


@pytest.mark.parametrize("more", [["--json"], ["--dpop", "key.pem"]], ids=["json", "dpop"])
def test_options_that_contradict_it_are_wrong_usage(run: Run, more: list[str]) -> None:
    ran = run("token", "--socket", "unix:///nobody.sock", "--output", "exec-credential", *more)
    assert (ran.code, ran.out) == (2, "")
