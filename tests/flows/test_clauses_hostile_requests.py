"""Whatever a request holds, the answer is one of ours: never a 5xx, never a hang, never a record (F-12, T-27).

Hypothesis speaks to the application in this process; the bombs go through the real door as well.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.serving.answers import Answer
from bridge.store.ports import ClientFilter
from tests.flows.client import JWT_BEARER, JWT_SPIFFE, decode, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.inprocess import TYPED, InProcess
from tests.flows.stand import LEDGER, Stand
from tests.svid_factory import compact

# One service for all of them, in one of the processes that run the tests.
pytestmark = pytest.mark.xdist_group("hostile-requests")
# One request may cost no more than this of a processor, in seconds (F-12).
WORST = 1.0
PATH = "/ns/web/sa/hostile"
DOORS = st.sampled_from([b"/token", b"/introspect", b"/revoke"])
NAMES = ["grant_type", "client_id", "client_assertion", "client_assertion_type", "client_secret", "scope", "resource"]
ODD_TEXT = st.text(max_size=40) | st.sampled_from(["\0", "\r\n", "%00", "é" * 9, "\U0001f600", '"\\', " ", "a b", "#"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
MANY = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    running = InProcess(tmp_path_factory.mktemp("in-process") / "service")
    # The control: this very way of asking is granted when the request is sound.
    assert running.call(sound(running)).status == "200 OK"
    yield running
    assert running.slowest < WORST
    records = running.worker._store.clients.list(ClientFilter(), limit=1000)
    assert {record.subject for record in records} == {f"spiffe://example.org{PATH}"}
    running.close()


def assertion(service: InProcess) -> str:
    return service.stand.jwt(PATH)


def sound(service: InProcess, **more: str) -> bytes:
    return urlencode(jwt_fields(assertion(service)) | more).encode()


def held(answer: Answer) -> int:
    """The status of an answer that has the form of the contract, and is none of ours to be ashamed of."""
    status = int(answer.status[:3])
    fields = {name.lower(): value for name, value in answer.headers}
    assert 200 <= status < 500, answer.body
    assert fields["x-request-id"] == "an-id-of-twenty-two-ch"
    if status >= 400:
        body = json.loads(answer.body)
        assert body.keys() == {"error", "error_description", "error_id"}
        assert fields["content-type"] == "application/json"
    assert not any(re.search(r"[^\t\x20-\x7E]", value) for value in fields.values())
    return status


@MANY
@given(door=DOORS, body=st.binary(max_size=600))
def test_any_bytes_as_a_form_are_refused_F_12(service: InProcess, door: bytes, body: bytes) -> None:
    assert held(service.call(body, path=door)) in (400, 401)


@MANY
@given(door=DOORS, fields=st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=8), ODD_TEXT), max_size=8))
def test_any_fields_are_refused_without_a_credential_F_12(
    service: InProcess, door: bytes, fields: list[tuple[str, str]]
) -> None:
    assert held(service.call(urlencode(fields).encode(), path=door)) in (400, 401)


@MANY
@given(
    door=DOORS,
    fields=st.lists(
        st.tuples(st.sampled_from([*NAMES[5:], "client_id", "token", "token_type_hint", "x", "audience"]), ODD_TEXT),
        max_size=6,
    ),
)
def test_any_fields_beside_a_sound_credential_are_judged_F_12(
    service: InProcess, door: bytes, fields: list[tuple[str, str]]
) -> None:
    held(service.call(sound(service) + b"&" + urlencode(fields).encode(), path=door))


@MANY
@given(name=st.sampled_from(NAMES), raw=st.binary(max_size=40))
def test_bytes_that_are_no_text_in_one_field_are_refused_F_12(service: InProcess, name: str, raw: bytes) -> None:
    extra = f"&{name}2={quote_from_bytes(raw)}&{name}={quote_from_bytes(raw)}".encode()
    held(service.call(sound(service) + extra))


HEADER_NAMES = [b"authorization", b"dpop", b"cookie", b"content-type", b"accept", b"x-forwarded-for", b"client-cert"]
HEADER_VALUES = st.binary(max_size=60).map(lambda raw: re.sub(rb"[\0\r\n]", b"", raw)) | st.sampled_from(
    [b"Basic", b"Basic ", b"Basic =", b"Basic \xff", b"Bearer", b"DPoP x", b"Digest a=b, c", b"application/x-www-form"]
)


@MANY
@given(door=DOORS, headers=st.lists(st.tuples(st.sampled_from(HEADER_NAMES), HEADER_VALUES), max_size=4))
def test_any_header_fields_are_judged_F_12_T_47(
    service: InProcess, door: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    held(service.call(sound(service, token="x"), path=door, headers=[TYPED, *headers]))
    held(service.call(b"", path=door, headers=headers))


@MANY
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"]),
    path=st.binary(max_size=60).map(lambda raw: b"/" + re.sub(rb"[\0-\x20?#]", b"", raw))
    | st.sampled_from([b"/token/", b"//token", b"/token%00", b"/./token", b"/..//", b"/%2e%2e/jwks", b"*", b""]),
    query=st.binary(max_size=40),
)
def test_any_target_is_judged_F_12(service: InProcess, method: str, path: bytes, query: bytes) -> None:
    answer = service.call(method=method, path=path, query=query)
    if method == "HEAD":
        assert int(answer.status[:3]) < 500
    else:
        assert not 300 <= held(answer) < 400


@MANY
@given(text=ODD_TEXT | st.text(alphabet="eyJhbGciOiJFUzI1NiJ9._-", max_size=90), kind=st.sampled_from([0, 1]))
def test_any_assertion_is_refused_F_12(service: InProcess, text: str, kind: int) -> None:
    fields = jwt_fields(text) | {"client_assertion_type": (JWT_SPIFFE, JWT_BEARER)[kind]}
    assert held(service.call(urlencode(fields).encode())) in (400, 401)


@MANY
@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "jwk", "crit", "jku", "b64"]), JSON_VALUES),
    claims=st.dictionaries(st.sampled_from(["sub", "aud", "exp", "nbf", "iss", "jti"]), JSON_VALUES),
)
def test_any_unsigned_token_is_refused_as_credential_proof_and_question_F_12(
    service: InProcess, header: dict[str, object], claims: dict[str, object]
) -> None:
    published = json.loads(service.worker._ring.jwks)["keys"][0]["kid"]
    for head in (header, {"alg": "ES256", "typ": "at+jwt", "kid": published, **header}):
        forged = compact(head, claims)
        assert held(service.call(urlencode(jwt_fields(forged)).encode())) in (400, 401)
        answer = service.call(sound(service, token=forged), path=b"/introspect")
        assert (held(answer), json.loads(answer.body)) == (200, {"active": False})
        assert held(service.call(sound(service, token=forged), path=b"/revoke")) == 200
        assert held(service.call(sound(service), headers=[TYPED, (b"dpop", forged.encode())])) == 400


@MANY
@given(position=st.integers(0, 10_000), character=st.sampled_from("AZaz09-_.=+/ \n\0é"))
def test_a_token_of_ours_with_one_character_changed_is_inactive_F_12(
    service: InProcess, position: int, character: str
) -> None:
    token = json.loads(service.call(sound(service)).body)["access_token"]
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    answer = service.call(sound(service, token=changed), path=b"/introspect")
    if held(answer) == 200:
        assert json.loads(answer.body)["active"] is (changed == token)


@MANY
@given(chain=st.lists(st.binary(max_size=200), min_size=1, max_size=6), client_id=ODD_TEXT)
def test_any_bytes_of_a_handshake_are_refused_F_12(service: InProcess, chain: list[bytes], client_id: str) -> None:
    body = urlencode({"grant_type": "client_credentials", "client_id": client_id}).encode()
    assert held(service.call(body, chain=chain)) in (400, 401)


@MANY
@given(which=st.integers(0, 1), position=st.integers(0, 4000), value=st.integers(0, 255))
def test_a_certificate_with_one_byte_changed_is_judged_F_12(
    service: InProcess, which: int, position: int, value: int
) -> None:
    svid = service.stand.authority.x509_svid(PATH)
    body = urlencode({"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}).encode()
    changed = [bytearray(der) for der in svid.chain]
    changed[which][position % len(changed[which])] = value
    same = tuple(map(bytes, changed)) == svid.chain
    assert held(service.call(body, chain=[bytes(der) for der in changed])) == (200 if same else 401)


BOMBS = {
    "dots": "." * 60_000,
    "dots within an assertion's size": "." * 16_000,
    "a deep header": compact(b'{"alg":' + b"[" * 5000 + b"]" * 5000 + b"}", {}),
    "a deep payload": compact({"alg": "ES256"}, b'{"sub":' * 1500 + b"1" + b"}" * 1500),
    "5,000 digits": compact({"alg": "ES256"}, b'{"exp":' + b"9" * 5000 + b"}"),
    "5,000 digits in the header": compact(b'{"alg":"ES256","kid":' + b"9" * 5000 + b"}", {}),
    "1e400": compact({"alg": "ES256"}, b'{"exp":1e400}'),
    "a duplicate": compact(b'{"alg":"ES256","alg":"none"}', {}),
    "escapes": compact(b'{"alg":"' + b"\\u0000" * 1500 + b'"}', {}),
    "a huge key": compact(
        {"alg": "RS256", "typ": "dpop+jwt", "jwk": {"kty": "RSA", "n": "x" * 9_000, "e": "AQAB"}}, {}
    ),
    "NUL": "\0.\0.\0",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=[f"T-27 {name}" for name in BOMBS])
def test_a_bomb_at_the_real_door_is_a_clear_4xx_in_every_place_it_fits(stand: Stand, bomb: str) -> None:
    path = "/ns/edge/sa/bombs"
    assert stand.client.by_jwt(bomb).status in (400, 401)
    asked = stand.client.post("/introspect", jwt_fields(stand.jwt(path)) | {"token": bomb})
    assert (asked.status, asked.body) == (200, {"active": False}) or asked.error == "invalid_request"
    if bomb.isprintable() and len(bomb) < 30_000:
        proof = stand.client.by_jwt(stand.jwt(path), headers=[("DPoP", bomb)])
        assert (proof.status, proof.error) == (400, "invalid_dpop_proof")
    sound_proof = DpopKey().proof("POST", stand.client.issuer + "/token")
    assert stand.client.by_jwt(stand.jwt(path), headers=[("DPoP", sound_proof)]).status == 200


BODIES = {
    "ampersands": "&" * 65_000,
    "equals": "=" * 65_000,
    "a thousand fields": "&".join(f"f{n}=1" for n in range(1000)),
    "a thousand resources": "&".join(f"resource={LEDGER}" for _ in range(1000)),
    "percents": "%" * 65_000,
    "one field of zeros": "x=" + "%00" * 20_000,
    "a thousand scopes": "scope=" + "+".join(f"s{n}" for n in range(10_000)),
    "no ASCII": "x=é" * 1000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=[f"T-27 {name}" for name in BODIES])
def test_a_form_that_is_a_bomb_is_a_clear_4xx_or_not_looked_at(stand: Stand, body: str) -> None:
    fine = urlencode(jwt_fields(stand.jwt("/ns/web/sa/bodies")))
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    for text, statuses in ((body, {400, 401, 413}), (f"{fine}&{body}", {200, 400, 413})):
        answer = stand.client.request("POST", "/token", body=text, headers=headers)
        # One unknown field, whatever it holds, is ignored like any other.
        assert answer.status in statuses
        if answer.status == 200:
            continue
        assert answer.body["error_id"] == answer.headers["X-Request-Id"]
    assert stand.client.request("POST", "/token", body=fine, headers=headers).status == 200


def test_an_access_token_made_of_anything_is_not_taken_for_one_F_12(service: InProcess) -> None:
    """A header that is right in all but its signature, and kinds of `kid` that are no string."""
    token = json.loads(service.call(sound(service)).body)["access_token"]
    claims = decode(token, 1) | {"exp": int(time.time()) + 60}
    for kid in ({}, [], 7, None, "", "x" * 5000):
        forged = compact({**decode(token, 0), "kid": kid}, claims)
        answer = service.call(sound(service, token=forged), path=b"/introspect")
        assert json.loads(answer.body) == {"active": False}
    answer = service.call(sound(service, token=token), path=b"/introspect")
    assert json.loads(answer.body)["active"] is True
