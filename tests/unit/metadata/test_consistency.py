"""Members against each other: grants and responses (DCR-6), defaults (DCR-5), redirects, authentication (SCA-14)."""

from __future__ import annotations

import pytest

from bridge.metadata.consistency import (
    AUTH_METHODS,
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    GRANT_TYPES,
    REFRESH_TOKEN,
    AuthKind,
    auth_kind,
    complete,
    needs_redirect,
)
from bridge.metadata.members import read
from bridge.model.errors import InvalidClientMetadata, InvalidRedirectUri
from bridge.model.metadata import ClientMetadata
from bridge.policy import vocabulary
from tests.svid_factory import jose_key

CODE_GRANTS = [AUTHORIZATION_CODE, REFRESH_TOKEN]


def completed(raw: dict[str, object], *defaults: str) -> tuple[object, object]:
    metadata = complete(read(raw), grant_types=defaults or (CLIENT_CREDENTIALS,))
    return metadata.get("grant_types"), metadata.get("response_types")


def test_the_grants_are_those_that_policy_knows() -> None:
    assert set().union(*(v.grant_types for v in vocabulary.VOCABULARIES.values())) == GRANT_TYPES


@pytest.mark.parametrize(
    ("raw", "grants", "responses"),
    [
        pytest.param({}, [CLIENT_CREDENTIALS], [], id="DCR-5 nothing said"),
        pytest.param({"grant_types": [CLIENT_CREDENTIALS]}, [CLIENT_CREDENTIALS], [], id="DCR-6 credentials"),
        pytest.param(
            {"grant_types": [CLIENT_CREDENTIALS], "response_types": []}, [CLIENT_CREDENTIALS], [], id="none said"
        ),
        pytest.param({"response_types": []}, [CLIENT_CREDENTIALS], [], id="no response said"),
        pytest.param({"grant_types": [AUTHORIZATION_CODE]}, [AUTHORIZATION_CODE], ["code"], id="DCR-6 code"),
        pytest.param(
            {"grant_types": CODE_GRANTS, "response_types": ["code"]}, CODE_GRANTS, ["code"], id="DCR-6 both said"
        ),
        pytest.param({"grant_types": sorted(GRANT_TYPES)}, sorted(GRANT_TYPES), ["code"], id="DCR-6 all three"),
        pytest.param({"response_types": ["code"]}, [AUTHORIZATION_CODE], ["code"], id="RFC 7591 default by response"),
        pytest.param(
            {"redirect_uris": ["https://a.example"]}, [AUTHORIZATION_CODE], ["code"], id="RFC 7591 default by URI"
        ),
        pytest.param({"redirect_uris": []}, [CLIENT_CREDENTIALS], [], id="no redirect URI"),
    ],
)
def test_grants_and_responses_that_fit_are_stated_in_full(
    raw: dict[str, object], grants: list[str], responses: list[str]
) -> None:
    assert completed(raw) == (grants, responses)


def test_the_defaults_of_a_code_client_hold_where_it_names_a_redirect_uri() -> None:
    assert completed({"redirect_uris": ["https://a.example"]}, *CODE_GRANTS) == (CODE_GRANTS, ["code"])


def test_everything_else_stays_as_it_was_said() -> None:
    raw = {"client_name": "x", "scope": "a", "grant_types": [CLIENT_CREDENTIALS]}
    assert complete(read(raw), grant_types=()).members == {**raw, "response_types": []}


@pytest.mark.parametrize(
    ("raw", "member"),
    [
        pytest.param({"grant_types": ["implicit"]}, "grant_types", id="T-38 implicit"),
        pytest.param(
            {"grant_types": ["implicit"], "response_types": ["token"]}, "grant_types", id="T-38 implicit, token"
        ),
        pytest.param({"grant_types": ["password"]}, "grant_types", id="password"),
        pytest.param({"grant_types": [AUTHORIZATION_CODE, "x"]}, "grant_types", id="an unknown one beside a known one"),
        pytest.param({"grant_types": ["Authorization_Code"]}, "grant_types", id="upper case"),
        pytest.param({"grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"]}, "grant_types", id="jwt-bearer"),
        pytest.param({"grant_types": [REFRESH_TOKEN]}, "grant_types", id="refresh alone"),
        pytest.param({"grant_types": [CLIENT_CREDENTIALS, REFRESH_TOKEN]}, "grant_types", id="refresh without a code"),
        pytest.param(
            {"grant_types": [CLIENT_CREDENTIALS], "response_types": ["code"]}, "response_types", id="DCR-6 code alone"
        ),
        pytest.param({"grant_types": CODE_GRANTS, "response_types": []}, "response_types", id="DCR-6 no code"),
        pytest.param({"grant_types": CODE_GRANTS, "response_types": ["token"]}, "response_types", id="T-38 token"),
        pytest.param(
            {"grant_types": CODE_GRANTS, "response_types": ["code", "id_token"]}, "response_types", id="id_token"
        ),
        pytest.param(
            {"grant_types": CODE_GRANTS, "response_types": ["code token"]}, "response_types", id="T-38 hybrid"
        ),
    ],
)
def test_grants_and_responses_that_do_not_fit_are_refused_DCR_6(raw: dict[str, object], member: str) -> None:
    with pytest.raises(InvalidClientMetadata) as refusal:
        completed(raw)
    assert refusal.value.public.startswith(f"{member}: ")


def test_only_a_code_needs_a_redirect_uri_CIMD_19() -> None:
    assert needs_redirect(CODE_GRANTS)
    assert not needs_redirect([CLIENT_CREDENTIALS])
    assert not needs_redirect([])


def test_what_two_sources_said_is_judged_together() -> None:
    statement, body = read({"redirect_uris": ["com.example.app:/cb"]}), read({"application_type": "web"})
    native = ClientMetadata({**statement.members, "application_type": "native"})
    assert "redirect_uris" in complete(native, grant_types=CODE_GRANTS)
    with pytest.raises(InvalidRedirectUri):
        complete(ClientMetadata({**statement.members, **body.members}), grant_types=CODE_GRANTS)


def test_keys_of_two_sources_are_refused_DCR_4() -> None:
    keys = read({"jwks": {"keys": [jose_key("P-256").as_dict(private=False)]}})
    assert "jwks" in complete(keys, grant_types=(CLIENT_CREDENTIALS,))
    both = ClientMetadata({**keys.members, **read({"jwks_uri": "https://a.example/jwks"}).members})
    with pytest.raises(InvalidClientMetadata, match="jwks_uri"):
        complete(both, grant_types=(CLIENT_CREDENTIALS,))


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (None, None),
        ("none", AuthKind.NONE),
        ("private_key_jwt", AuthKind.KEY),
        ("spiffe_jwt", AuthKind.SPIFFE),
        ("spiffe_x509", AuthKind.SPIFFE),
        ("spiffe_wit", AuthKind.SPIFFE),
        ("client_secret_basic", AuthKind.SHARED_SECRET),
        ("client_secret_post", AuthKind.SHARED_SECRET),
        ("client_secret_jwt", AuthKind.SHARED_SECRET),
    ],
)
def test_how_a_client_authenticates_is_known_by_its_method(method: str | None, kind: AuthKind | None) -> None:
    raw: dict[str, object] = {} if method is None else {"token_endpoint_auth_method": method}
    assert auth_kind(read(raw)) is kind
    complete(read(raw), grant_types=(CLIENT_CREDENTIALS,))
    assert method is None or method in AUTH_METHODS


@pytest.mark.parametrize("method", ["tls_client_auth", "attest_jwt_client_auth", "NONE", "https://a.example/method"])
def test_another_method_is_refused(method: str) -> None:
    for judge in (auth_kind, lambda metadata: complete(metadata, grant_types=(CLIENT_CREDENTIALS,))):
        with pytest.raises(InvalidClientMetadata, match="token_endpoint_auth_method"):
            judge(read({"token_endpoint_auth_method": method}))


def test_a_stated_algorithm_is_one_that_a_stated_key_has() -> None:
    jwks = {"keys": [jose_key("P-256").as_dict(private=False)]}
    raw: dict[str, object] = {"jwks": jwks, "token_endpoint_auth_signing_alg": "ES256"}
    assert complete(read(raw), grant_types=(CLIENT_CREDENTIALS,)).text("token_endpoint_auth_signing_alg") == "ES256"
    with pytest.raises(InvalidClientMetadata, match="no key in jwks"):
        complete(read({**raw, "token_endpoint_auth_signing_alg": "RS256"}), grant_types=(CLIENT_CREDENTIALS,))
    del raw["jwks"]
    assert complete(read(raw), grant_types=(CLIENT_CREDENTIALS,))
