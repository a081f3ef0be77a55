"""Sign-in at an OpenID provider: everything that must fit, and for each the same with one thing wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.jose.keys import SigningKey
from bridge.model.errors import SignInRejected, Unavailable
from bridge.users.client_authentication import ByOwnKeys
from tests.openid_provider import CLIENT_ID, Conduct, OpenIdProvider
from tests.unit.users.upstream_stand import IDS, UpstreamStand

Change = Callable[[dict[str, Any]], dict[str, Any]]
OWN_KEY = SigningKey.generate("ES256", "own-1")
OTHER_KEY = SigningKey.generate("ES256", "key-1")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def provider(running: OpenIdProvider) -> Iterator[OpenIdProvider]:
    running.conduct, key = Conduct(), running.key
    yield running
    running.conduct, running.key = Conduct(), key


@pytest.fixture
def stand(provider: OpenIdProvider) -> UpstreamStand:
    return UpstreamStand(provider)


def setting(**values: Any) -> Change:
    """The members with these instead; None takes one away."""

    def change(said: dict[str, Any]) -> dict[str, Any]:
        changed = {**said, **values}
        return {name: value for name, value in changed.items() if value is not None}

    return change


def later(name: str, seconds: int) -> Change:
    return lambda said: {**said, name: int(time.time()) + seconds}


# --- who signs in ---------------------------------------------------------------------------------


def test_whoever_signs_in_there_is_one_user_here(stand: UpstreamStand) -> None:
    user = stand.sign_in()
    assert user == stand.sign_in()
    assert user.user_id == IDS.of(stand.provider.issuer, stand.provider.conduct.subject)
    assert user.name == "Alice Adams"


def test_another_account_is_another_user(stand: UpstreamStand) -> None:
    alice = stand.sign_in()
    stand.provider.conduct.subject = "somebody-else"
    assert stand.sign_in().user_id != alice.user_id


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        pytest.param(setting(name=None, preferred_username="alice"), "alice", id="the next one that there is"),
        pytest.param(setting(name="\u202eecila", email="a@example.org"), "a@example.org", id="T-43 one that turns"),
        pytest.param(setting(name="a" * 65, nickname="Al"), "Al", id="one that is too long"),
        pytest.param(setting(name=["Alice"]), "a user without a name", id="one that is no text"),
    ],
)
def test_a_name_is_the_first_that_is_fit_to_be_shown(stand: UpstreamStand, claims: Change, name: str) -> None:
    stand.provider.conduct.claims = claims
    assert stand.sign_in().name == name


def test_the_provider_is_described_once_an_hour_and_its_keys_as_well(stand: UpstreamStand) -> None:
    stand.provider.asked.clear()
    for _ in range(3):
        stand.sign_in()
    asked = stand.provider.asked
    assert (asked.count("/.well-known/openid-configuration"), asked.count("/jwks"), asked.count("/token")) == (1, 1, 3)
    stand.described.describe(stand.now + 3600)
    assert asked.count("/.well-known/openid-configuration") == 2


# --- the ID token ---------------------------------------------------------------------------------

GOOD_CLAIMS = {
    "aud as a list of one": setting(aud=[CLIENT_ID]),
    "aud of two with azp": setting(aud=[CLIENT_ID, "other"], azp=CLIENT_ID),
    "azp beside one aud": setting(azp=CLIENT_ID),
    "expired within the leeway": later("exp", -20),
    "made within the leeway": later("iat", 20),
    "a claim that nobody knows": setting(favourite_colour="blue"),
}
BAD_CLAIMS = {
    "another iss": setting(iss="https://other.example.org"),
    "iss with a slash": lambda said: {**said, "iss": said["iss"] + "/"},
    "no iss": setting(iss=None),
    "another aud": setting(aud="other"),
    "aud of two without azp": setting(aud=[CLIENT_ID, "other"]),
    "aud of two with another azp": setting(aud=[CLIENT_ID, "other"], azp="other"),
    "another azp": setting(azp="other"),
    "T-28 an azp that is no string": setting(azp=[CLIENT_ID]),
    "an empty aud": setting(aud=[]),
    "T-28 an aud that is an object": setting(aud={CLIENT_ID: True}),
    "no aud": setting(aud=None),
    "another nonce": setting(nonce="n" * 43),
    "no nonce": setting(nonce=None),
    "expired": later("exp", -60),
    "no exp": setting(exp=None),
    "T-28 exp as a string": setting(exp="9999999999"),
    "T-28 exp as a truth": setting(exp=True),
    "from the future": later("iat", 120),
    "no iat": setting(iat=None),
    "not before tomorrow": later("nbf", 86400),
    "no sub": setting(sub=None),
    "an empty sub": setting(sub=""),
    "T-28 sub as a number": setting(sub=7),
    "a sub without end": setting(sub="s" * 256),
    "at_hash of another token": setting(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
}


@pytest.mark.parametrize("claims", GOOD_CLAIMS.values(), ids=list(GOOD_CLAIMS))
def test_claims_that_fit_are_taken(stand: UpstreamStand, claims: Change) -> None:
    stand.provider.conduct.claims = claims
    assert stand.sign_in().name == "Alice Adams"


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=list(BAD_CLAIMS))
def test_a_claim_that_does_not_fit_is_no_sign_in(stand: UpstreamStand, claims: Change) -> None:
    stand.provider.conduct.claims = claims
    with pytest.raises(SignInRejected):
        stand.sign_in()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(setting(typ=None), id="no typ"),
        pytest.param(setting(typ="jwt"), id="typ in lower case"),
        pytest.param(setting(x5t="abc"), id="a member that nobody knows"),
    ],
)
def test_a_header_that_fits_is_taken(stand: UpstreamStand, header: Change) -> None:
    stand.provider.conduct.header = header
    assert stand.sign_in().name == "Alice Adams"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(setting(typ="at+jwt"), id="T-25 an access token"),
        pytest.param(setting(typ="logout+jwt"), id="T-25 a logout token"),
        pytest.param(setting(crit=["exp"]), id="T-26 a critical extension"),
    ],
)
def test_a_header_that_does_not_fit_is_no_sign_in(stand: UpstreamStand, header: Change) -> None:
    stand.provider.conduct.header = header
    with pytest.raises(SignInRejected):
        stand.sign_in()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(setting(id_token=None), id="none"),
        pytest.param(setting(id_token="a.b"), id="malformed"),
        pytest.param(setting(id_token=7), id="no string"),
        pytest.param(
            lambda said: {**said, "id_token": said["id_token"].rpartition(".")[0] + "."}, id="T-26 no signature"
        ),
        pytest.param(
            lambda said: {**said, "id_token": "eyJhbGciOiJub25lIn0." + said["id_token"].split(".")[1] + "."},
            id="T-26 alg none",
        ),
        pytest.param(lambda said: {"error": "invalid_grant"}, id="an error with status 200"),
    ],
)
def test_an_answer_without_a_good_id_token_is_no_sign_in(stand: UpstreamStand, answer: Change) -> None:
    stand.provider.conduct.token_answer = answer
    with pytest.raises(SignInRejected):
        stand.sign_in()


def test_members_of_a_wrong_type_beside_it_do_no_harm(stand: UpstreamStand) -> None:
    stand.provider.conduct.token_answer = setting(expires_in="soon", access_token=7, scope={})
    assert stand.sign_in().name == "Alice Adams"


def test_a_signature_by_a_key_that_is_not_the_provider_s_does_not_hold_T_12(
    stand: UpstreamStand, provider: OpenIdProvider
) -> None:
    stand.sign_in()
    provider.key, published = OTHER_KEY, provider.jwks()
    provider.conduct.jwks = lambda said: published
    with pytest.raises(SignInRejected, match="does not hold"):
        stand.sign_in()


def test_a_key_that_is_new_is_fetched_and_an_unknown_one_is_asked_for_once_in_five_seconds(
    stand: UpstreamStand, provider: OpenIdProvider
) -> None:
    stand.sign_in()
    provider.key = SigningKey.generate("ES256", "key-2")
    stand.now += 5
    assert stand.sign_in().name == "Alice Adams"
    provider.conduct.jwks = setting(keys=[])
    provider.key = SigningKey.generate("ES256", "key-3")
    provider.asked.clear()
    for _ in range(3):
        with pytest.raises(SignInRejected, match="no key"):
            stand.sign_in()
    assert provider.asked.count("/jwks") == 0
    stand.now += 5
    with pytest.raises(SignInRejected, match="no key"):
        stand.sign_in()
    assert provider.asked.count("/jwks") == 1


def test_an_algorithm_that_is_not_announced_is_not_taken(stand: UpstreamStand) -> None:
    stand.provider.conduct.metadata = setting(id_token_signing_alg_values_supported=["RS256", "HS256", "none"])
    with pytest.raises(SignInRejected, match="algorithm"):
        stand.sign_in()


# --- the way back ---------------------------------------------------------------------------------


def test_a_state_of_another_sign_in_is_no_way_back(stand: UpstreamStand) -> None:
    (departure, answer), (other, _) = stand.leave(), stand.leave()
    with pytest.raises(SignInRejected, match="state"):
        stand.arrive(replace(departure, state=other.state), answer)
    assert stand.arrive(departure, answer).name == "Alice Adams"


def test_the_code_of_another_sign_in_is_no_way_back(stand: UpstreamStand) -> None:
    (departure, _), (_, stolen) = stand.leave(), stand.leave()
    with pytest.raises(SignInRejected, match="invalid_grant"):
        stand.arrive(departure, {**stolen, "state": departure.state})


def test_a_code_is_good_for_once(stand: UpstreamStand) -> None:
    departure, answer = stand.leave()
    stand.arrive(departure, answer)
    with pytest.raises(SignInRejected, match="invalid_grant"):
        stand.arrive(departure, answer)


NAMES_ITSELF = setting(authorization_response_iss_parameter_supported=True)


def test_an_answer_may_and_where_announced_must_say_whose_it_is(stand: UpstreamStand) -> None:
    stand.provider.conduct.redirect = setting(iss=stand.provider.issuer)
    assert stand.sign_in().name == "Alice Adams"
    announced = UpstreamStand(stand.provider)
    stand.provider.conduct.metadata = NAMES_ITSELF
    assert announced.sign_in().name == "Alice Adams"
    for redirect in (setting(iss=None), setting(iss="https://other.example.org")):
        stand.provider.conduct.redirect = redirect
        with pytest.raises(SignInRejected, match="issuer"):
            announced.sign_in()


# --- the provider ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(setting(issuer="https://127.0.0.1:1"), id="another issuer"),
        pytest.param(setting(token_endpoint=None), id="no token endpoint"),
        pytest.param(setting(jwks_uri=7), id="T-28 an endpoint that is no string"),
        pytest.param(setting(authorization_endpoint="http://127.0.0.1/authorize"), id="an endpoint on http"),
        pytest.param(setting(authorization_endpoint="javascript:alert(1)"), id="an endpoint that is no web address"),
    ],
)
def test_metadata_that_cannot_be_used_is_a_provider_that_is_not_there(stand: UpstreamStand, metadata: Change) -> None:
    stand.provider.conduct.metadata = metadata
    with pytest.raises(Unavailable, match="login provider"):
        stand.upstream.leave(now=stand.now)
    stand.provider.conduct.metadata = setting()
    stand.upstream.leave(now=stand.now)


@pytest.mark.parametrize("status", [404, 302, 500])
def test_a_provider_that_does_not_answer_is_nobody_s_fault_but_its_own(stand: UpstreamStand, status: int) -> None:
    stand.provider.conduct.status = status
    with pytest.raises(Unavailable):
        stand.upstream.leave(now=stand.now)


def test_what_it_said_before_is_good_for_a_day_and_no_longer(stand: UpstreamStand) -> None:
    stand.sign_in()
    stand.provider.conduct.status = 500
    for after in (3600, 24 * 3600 - 1):
        assert stand.described.describe(stand.now + after).issuer == stand.provider.issuer
    with pytest.raises(Unavailable):
        stand.described.describe(stand.now + 24 * 3600)


def test_while_it_does_not_answer_it_is_asked_every_five_seconds(stand: UpstreamStand) -> None:
    stand.sign_in()
    stand.provider.conduct.status = 500
    stand.provider.asked.clear()
    for after in (3600, 3601, 3604, 3605):
        stand.described.describe(stand.now + after)
    assert len(stand.provider.asked) == 2


# --- who we are -----------------------------------------------------------------------------------


def test_a_secret_goes_into_the_form_where_the_header_is_not_taken(stand: UpstreamStand) -> None:
    stand.provider.conduct.metadata = setting(token_endpoint_auth_methods_supported=["client_secret_post"])
    assert stand.sign_in().name == "Alice Adams"


def own_keys(key: SigningKey) -> ByOwnKeys:
    def sign(header: Mapping[str, object], claims: Mapping[str, object], now: int) -> str:
        return key.sign(header, claims)

    return ByOwnKeys(sign, new_id=iter(f"id-{number}" for number in range(9)).__next__)


def test_our_own_keys_prove_who_we_are(provider: OpenIdProvider) -> None:
    provider.conduct.client_keys = lambda: {"keys": [OWN_KEY.public_jwk()]}
    stand = UpstreamStand(provider, own_keys(OWN_KEY))
    assert stand.sign_in() == stand.sign_in()
    first, second = provider.assertions[-2:]
    assert first["jti"] != second["jti"]
    assert (first["aud"], first["exp"] - first["iat"]) == (provider.issuer, 60)


def test_another_key_under_the_same_name_does_not(provider: OpenIdProvider) -> None:
    provider.conduct.client_keys = lambda: {"keys": [OWN_KEY.public_jwk()]}
    stand = UpstreamStand(provider, own_keys(SigningKey.generate("ES256", OWN_KEY.kid)))
    with pytest.raises(SignInRejected, match="invalid_client"):
        stand.sign_in()
