"""The workload's side: an SVID, once, never waiting longer than told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from bridge.lab.authority import Authority
from bridge.lab.mute_socket import MuteSocket
from bridge.lab.workload_api import WorkloadApi
from bridge.model.spiffe_id import SpiffeId
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.workload_client import (
    WorkloadApiFailed,
    fetch_jwt_svid,
    fetch_x509_svid,
)

AUTHORITY = Authority("example.org")
LONG, SHORT = 20.0, 0.3


@pytest.fixture
def api(tmp_path: Path) -> Iterator[WorkloadApi]:
    with WorkloadApi(AUTHORITY, tmp_path / "a.sock", identities=["/one", "/two"]) as api:
        yield api


def endpoint(api: WorkloadApi | MuteSocket) -> WorkloadEndpoint:
    return WorkloadEndpoint.parse(api.address)


def test_a_jwt_svid_of_the_default_identity_is_fetched(api: WorkloadApi) -> None:
    token = fetch_jwt_svid(endpoint(api), "https://as.example", timeout=LONG)
    assert token == fetch_jwt_svid(endpoint(api), "https://as.example", timeout=LONG)
    assert token.count(".") == 2


def test_a_jwt_svid_of_a_named_identity_is_fetched(api: WorkloadApi) -> None:
    two = SpiffeId.parse("spiffe://example.org/two")
    default = fetch_jwt_svid(endpoint(api), "a", timeout=LONG)
    assert fetch_jwt_svid(endpoint(api), "a", timeout=LONG, spiffe_id=two) != default


def test_an_x509_svid_comes_with_its_chain_and_key(api: WorkloadApi) -> None:
    svid = fetch_x509_svid(endpoint(api), timeout=LONG)
    leaf, intermediate = (x509.load_der_x509_certificate(der) for der in svid.chain)
    assert str(svid.spiffe_id) == "spiffe://example.org/one"
    assert leaf.issuer == intermediate.subject
    key = load_der_private_key(svid.key, None)
    assert key.public_key() == leaf.public_key()


def test_an_x509_svid_of_a_named_identity_is_fetched(api: WorkloadApi) -> None:
    two = SpiffeId.parse("spiffe://example.org/two")
    assert fetch_x509_svid(endpoint(api), timeout=LONG, spiffe_id=two).spiffe_id == two


def test_an_identity_this_workload_does_not_have_is_refused(api: WorkloadApi) -> None:
    three = SpiffeId.parse("spiffe://example.org/three")
    with pytest.raises(WorkloadApiFailed, match="no registration entry"):
        fetch_jwt_svid(endpoint(api), "a", timeout=SHORT, spiffe_id=three)
    with pytest.raises(WorkloadApiFailed, match="three"):
        fetch_x509_svid(endpoint(api), timeout=SHORT, spiffe_id=three)


def test_without_an_entry_the_error_says_so(api: WorkloadApi) -> None:
    api.set_identities([])
    with pytest.raises(WorkloadApiFailed, match="no registration entry"):
        fetch_x509_svid(endpoint(api), timeout=SHORT)


def test_without_an_agent_the_error_names_the_socket(tmp_path: Path) -> None:
    absent = WorkloadEndpoint.parse(f"unix://{tmp_path}/absent.sock")
    with pytest.raises(WorkloadApiFailed, match=r"absent\.sock: .*cannot be reached"):
        fetch_jwt_svid(absent, "a", timeout=SHORT)


def test_an_entry_that_arrives_late_is_waited_for(api: WorkloadApi) -> None:
    api.set_identities([])
    later = threading.Timer(0.3, api.set_identities, [["/one"]])
    later.start()
    assert fetch_jwt_svid(endpoint(api), "a", timeout=LONG)
    later.join()


def test_a_mute_agent_ends_in_an_error_in_time(api: WorkloadApi, tmp_path: Path) -> None:
    api.mute()
    with pytest.raises(WorkloadApiFailed, match="does not answer"):
        fetch_jwt_svid(endpoint(api), "a", timeout=SHORT)
    with MuteSocket(tmp_path / "mute.sock") as mute, pytest.raises(WorkloadApiFailed):
        fetch_x509_svid(endpoint(mute), timeout=SHORT)


def test_a_refusal_that_will_not_pass_is_not_retried(api: WorkloadApi) -> None:
    api.refuse_calls(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(WorkloadApiFailed, match="INVALID_ARGUMENT"):
        fetch_jwt_svid(endpoint(api), "a", timeout=LONG)
