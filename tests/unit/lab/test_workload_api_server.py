"""The lab's Workload API, judged by somebody else's client: py-spiffe's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import spiffe
from spiffe._proto import workload_pb2, workload_pb2_grpc

from bridge.lab.authority import Authority
from bridge.lab.rotation import Stage
from bridge.lab.workload_api import Entry, WorkloadApi

DEADLINE = 20.0


@pytest.fixture
def own() -> Authority:
    return Authority("example.org", jwt_issuer="https://spire.example.org")


@pytest.fixture
def partner() -> Authority:
    return Authority("partner.example", intermediate=False, jwt_alg="RS256")


@pytest.fixture
def api(own: Authority, partner: Authority, tmp_path: Path) -> Iterator[WorkloadApi]:
    entry = Entry("/ns/web/sa/api", dns_names=("api.web",), hint="internal")
    with WorkloadApi(own, tmp_path / "a.sock", identities=[entry], federated=[partner]) as api:
        yield api


@pytest.fixture
def client(api: WorkloadApi) -> Iterator[spiffe.WorkloadApiClient]:
    with spiffe.WorkloadApiClient(f"unix:{api.socket}") as client:
        yield client


def test_an_x509_svid_with_intermediate_and_matching_key_is_fetched(
    client: spiffe.WorkloadApiClient, own: Authority
) -> None:
    svid = client.fetch_x509_svid()
    assert str(svid.spiffe_id) == "spiffe://example.org/ns/web/sa/api"
    assert len(svid.cert_chain) == 2
    assert svid.private_key.public_key() == svid.leaf.public_key()


def test_the_x509_context_holds_own_and_federated_roots(client: spiffe.WorkloadApiClient) -> None:
    bundles = client.fetch_x509_context().x509_bundle_set
    for name in ("example.org", "partner.example"):
        bundle = bundles.get_bundle_for_trust_domain(spiffe.TrustDomain(name))
        assert bundle is not None
        assert len(bundle.x509_authorities) == 1


def test_x509_bundles_are_fetched(client: spiffe.WorkloadApiClient) -> None:
    bundles = client.fetch_x509_bundles()
    assert bundles.get_bundle_for_trust_domain(spiffe.TrustDomain("partner.example")) is not None


def test_a_jwt_svid_is_fetched_and_verifies_under_the_fetched_bundle(client: spiffe.WorkloadApiClient) -> None:
    token = client.fetch_jwt_svid(audience={"https://as.example"}).token
    bundle = client.fetch_jwt_bundles().get_bundle_for_trust_domain(spiffe.TrustDomain("example.org"))
    assert bundle is not None
    svid = spiffe.JwtSvid.parse_and_validate(token, bundle, {"https://as.example"})
    assert str(svid.spiffe_id) == "spiffe://example.org/ns/web/sa/api"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_every_algorithm_the_lab_signs_with_verifies_elsewhere(alg: str) -> None:
    authority = Authority("example.org", jwt_alg=alg)
    bundle = spiffe.JwtBundle.parse(spiffe.TrustDomain("example.org"), authority.jwt_bundle())
    token = authority.jwt_svid("/app", "a")
    assert spiffe.JwtSvid.parse_and_validate(token, bundle, {"a"}).token == token


def test_own_and_federated_jwt_svids_are_validated_and_their_claims_given(
    api: WorkloadApi, client: spiffe.WorkloadApiClient, own: Authority, partner: Authority
) -> None:
    answer = unary(api, "ValidateJWTSVID", svid=own.jwt_svid("/x", "a"), audience="a")
    assert answer.spiffe_id == "spiffe://example.org/x"
    assert answer.claims["iss"] == "https://spire.example.org"
    foreign = client.validate_jwt_svid(partner.jwt_svid("/x", ["a", "b"]), "a")
    assert str(foreign.spiffe_id) == "spiffe://partner.example/x"


@pytest.mark.parametrize(
    ("change", "audience"),
    [
        pytest.param({}, "b", id="wrong-audience"),
        pytest.param({"exp": 1}, "a", id="expired"),
        pytest.param({"sub": "spiffe://nowhere.example/x"}, "a", id="unknown-trust-domain"),
        pytest.param({"sub": "x"}, "a", id="no-spiffe-id"),
    ],
)
def test_a_bad_jwt_svid_is_not_validated(
    api: WorkloadApi, own: Authority, change: dict[str, object], audience: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        unary(api, "ValidateJWTSVID", svid=own.jwt_svid("/x", "a", claims=change), audience=audience)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def unary(api: WorkloadApi, name: str, *, metadata: object = (("workload.spiffe.io", "true"),), **fields: object):  # type: ignore[no-untyped-def]
    """One raw call, to see the status code itself."""
    requests = {"ValidateJWTSVID": workload_pb2.ValidateJWTSVIDRequest, "FetchJWTSVID": workload_pb2.JWTSVIDRequest}
    with grpc.insecure_channel(f"unix:{api.socket}") as channel:
        method = getattr(workload_pb2_grpc.SpiffeWorkloadAPIStub(channel), name)
        return method(requests[name](**fields), metadata=metadata, timeout=DEADLINE)


@pytest.mark.parametrize("metadata", [(), (("workload.spiffe.io", "false"),)], ids=["absent", "false"])
def test_a_call_without_the_security_header_is_an_invalid_argument_SPIFFE_30(
    api: WorkloadApi, metadata: object
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        unary(api, "FetchJWTSVID", metadata=metadata, audience=["a"])
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert unary(api, "FetchJWTSVID", audience=["a"]).svids[0].hint == "internal"


def test_without_an_entry_every_call_is_denied(api: WorkloadApi) -> None:
    api.set_identities([])
    with pytest.raises(grpc.RpcError) as refused:
        unary(api, "FetchJWTSVID", audience=["a"])
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_jwt_svid_without_audience_is_an_invalid_argument(api: WorkloadApi) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        unary(api, "FetchJWTSVID", audience=[])
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_wit_profile_is_not_implemented_as_in_spire(api: WorkloadApi) -> None:
    with grpc.insecure_channel(f"unix:{api.socket}") as channel:
        call = channel.unary_stream("/SpiffeWorkloadAPI/FetchWITSVID")
        with pytest.raises(grpc.RpcError) as refused:
            next(call(b"", timeout=DEADLINE, metadata=(("workload.spiffe.io", "true"),)))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_same_jwt_svid_is_handed_out_until_half_its_life(tmp_path: Path) -> None:
    now = [1_800_000_000]
    authority = Authority("example.org", clock=lambda: now[0])
    with WorkloadApi(authority, tmp_path / "a.sock", identities=[Entry("/app", jwt_ttl=300)]) as api:

        def token(audience: str = "a") -> str:
            return str(unary(api, "FetchJWTSVID", audience=[audience]).svids[0].svid)

        first = token()
        now[0] += 149
        assert token() == first
        assert token("b") != first
        now[0] += 1
        assert token() != first


def test_a_tainted_jwt_key_ends_the_cached_tokens_and_activation_does_not(api: WorkloadApi, own: Authority) -> None:
    def token() -> str:
        return str(unary(api, "FetchJWTSVID", audience=["a"]).svids[0].svid)

    first = token()
    own.rotate_jwt(Stage.PREPARE, Stage.ACTIVATE)
    assert token() == first
    own.rotate_jwt(Stage.TAINT)
    assert token() != first


def test_a_stream_sends_a_new_svid_when_the_ca_is_tainted(
    client: spiffe.WorkloadApiClient, own: Authority, partner: Authority
) -> None:
    seen: list[spiffe.X509Svid] = []
    arrived = threading.Condition()

    def on_success(context: spiffe.X509Context) -> None:
        with arrived:
            seen.append(context.default_svid)
            arrived.notify_all()

    handler = client.stream_x509_contexts(on_success, lambda _: None)
    try:
        with arrived:
            assert arrived.wait_for(lambda: len(seen) == 1, DEADLINE)
        own.rotate_x509()
        with arrived:
            assert arrived.wait_for(lambda: seen[-1].leaf.serial_number != seen[0].leaf.serial_number, DEADLINE)
    finally:
        handler.cancel()


def test_a_socket_path_too_long_for_an_address_is_refused_at_once(own: Authority, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="107 bytes"):
        WorkloadApi(own, tmp_path / ("a" * 108), identities=["/app"])


def test_a_stopped_agent_leaves_no_socket_and_a_killed_one_a_dead_one(own: Authority, tmp_path: Path) -> None:
    api = WorkloadApi(own, tmp_path / "b.sock", identities=["/app"]).start()
    api.stop()
    assert not api.socket.exists()
    api.start().kill()
    assert api.socket.is_socket()
    api.start()
    assert unary(api, "FetchJWTSVID", audience=["a"]).svids
    api.stop()
    api.stop()


def test_several_sockets_serve_several_workloads_of_one_authority(own: Authority, tmp_path: Path) -> None:
    with (
        WorkloadApi(own, tmp_path / "1.sock", identities=["/one"]) as one,
        WorkloadApi(own, tmp_path / "2.sock", identities=["/two"]) as two,
    ):
        ids = [unary(api, "FetchJWTSVID", audience=["a"]).svids[0].spiffe_id for api in (one, two)]
    assert ids == ["spiffe://example.org/one", "spiffe://example.org/two"]
