"""Broken statements, client assertions, metadata documents and DPoP proofs: the doctor gives the reason that the
service logs, and the right thing to change. Each beside a twin that differs in that thing, which both accept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import bridge.ambient
import bridge.app
from bridge.doctor.given import GivenDocument
from bridge.doctor.remembered import of_log_line
from bridge.lab.jws import JwtKey
from bridge.model.identity import BindingMethod
from bridge.model.reasons import Reason
from tests.flows.client import JWT_BEARER
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import CI, MUTE_CI, OTHER_CI, jwks
from tests.flows.surgery import GUARDED, LOW_PORT, NO_STORE, Call, Make, Surgery
from tests.flows.timed import Clock
from tests.unit.fetch.tls_server import http

FOREIGN = JwtKey.generate("ES256", kid="ci-1")
STRANGER = DpopKey()
ITS_PRIVATE, ITS_PUBLIC = STRANGER._key.as_dict(private=True), STRANGER._key.as_dict(private=False)
HOUR = 3600


@pytest.fixture(scope="module")
def surgery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surgery]:
    """A service and the doctor beside it, by a clock that stands still."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge.app, "now", clock)
        patch.setattr(bridge.ambient, "now", clock)
        running = Surgery(tmp_path_factory.mktemp("surgery") / "service", clock)
        yield running
        running.close()


@dataclass(frozen=True, slots=True)
class Case:
    """`broken` and `sound` make the two calls. `fix`: the words of the advice on which it turns."""

    name: str
    reason: Reason
    fix: str
    broken: Make
    sound: Make


def agrees(surgery: Surgery, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """The doctor, who is asked first because it changes nothing, says what the service then logs."""
    sound = case.sound(surgery)
    diagnosis = surgery.diagnose(sound)
    assert diagnosis.reason is None, diagnosis.decisive
    assert surgery.serve(sound, caplog) is None
    broken = case.broken(surgery)
    diagnosis = surgery.diagnose(broken)
    line = surgery.logged(broken, caplog)
    decisive = diagnosis.decisive
    assert decisive is not None
    assert line is not None
    assert (diagnosis.reason, decisive.reason, line.reason) == (case.reason, case.reason, case.reason)
    assert case.fix in decisive.advice
    # Whoever has the id of the refusal and the log alone is led to the same step.
    remembered = of_log_line(line).decisive
    assert remembered is not None
    assert (remembered.name, remembered.reason) == (decisive.name, decisive.reason)


# --- DPoP proofs ----------------------------------------------------------------------------------


def proof(header: dict[str, object] | None = None, **claims: Any) -> Make:
    return lambda s: s.by_proof(s.proof(header=header, **claims))


def written(edit: Callable[[str], str]) -> Make:
    return lambda s: s.by_proof(edit(s.proof()))


def used(surgery: Surgery) -> Call:
    call = surgery.by_proof(surgery.proof())
    surgery.process.call(call.body, path=call.path, headers=call.headers)
    # Another SVID, the same proof.
    return replace(surgery.by_proof(call.headers[1][1].decode()))


PROOFS = tuple(
    Case(name, reason, fix, broken, proof())
    for name, reason, fix, broken in (
        ("RFC 9449 4.3 no JWS", Reason.DPOP_MALFORMED, "proof", written(lambda text: "hello")),
        ("RFC 9449 4.3 typ JWT", Reason.DPOP_MALFORMED, "typ to dpop+jwt", proof({"typ": "JWT"})),
        ("RFC 9449 4.3 jku beside", Reason.DPOP_MALFORMED, "alg and jwk alone", proof({"jku": "https://x.example"})),
        (
            "T-9 jwk private",
            Reason.DPOP_MALFORMED,
            "public numbers",
            proof({"jwk": ITS_PRIVATE}),
        ),
        (
            "T-26 jwk of another",
            Reason.DPOP_MALFORMED,
            "very key",
            proof({"jwk": ITS_PUBLIC}),
        ),
        ("jti a number", Reason.DPOP_MALFORMED, "new jti", proof(jti=7)),
        ("iat a text", Reason.DPOP_MALFORMED, "State iat", proof(iat="now")),
        ("T-29 htm GET", Reason.DPOP_MISMATCH, "htm to the method", proof(htm="GET")),
        ("T-29 htu another door", Reason.DPOP_MISMATCH, "endpoint's URL", proof(htu="https://127.0.0.1/par")),
        ("T-23 an hour old", Reason.DPOP_STALE, "new proof", lambda s: s.by_proof(s.proof(iat=s.clock() - HOUR))),
        ("a minute ahead", Reason.DPOP_STALE, "clock", lambda s: s.by_proof(s.proof(iat=s.clock() + 60))),
        ("T-21 used before", Reason.DPOP_REPLAYED, "new jti", used),
    )
)


@pytest.mark.parametrize("case", PROOFS, ids=lambda case: case.name)
def test_the_doctor_says_of_a_broken_proof_what_the_service_logs(
    surgery: Surgery, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    agrees(surgery, case, caplog)


# --- software statements --------------------------------------------------------------------------


def stated(
    subject: str = "pipeline",
    *,
    key: JwtKey | None = None,
    header: Mapping[str, Any] | None = None,
    edit: Callable[[str], str] = str,
    said: Mapping[str, object] | None = None,
    beside_now: Mapping[str, int] | None = None,
    **claims: Any,
) -> Make:
    """A registration; `said` is what the request says beside the statement, `beside_now` are times."""

    def make(s: Surgery) -> Call:
        times = {name: s.clock() + offset for name, offset in (beside_now or {}).items()}
        return s.by_statement(edit(s.statement(subject, key=key, header=header, **times, **claims)), said)

    return make


def to_token(s: Surgery) -> Call:
    return s.by_statement(s.statement("pipeline", aud=s.stand.client.issuer))


PRIVATE = {"keys": [{**FOREIGN.public_jwk(), "d": "AAAA"}]}
STATEMENTS = tuple(
    Case(name, reason, fix, broken, stated())
    for name, reason, fix, broken in (
        ("DCR-10 T-46 not pinned", Reason.STATEMENT_ISSUER, f'[statement_issuers."{OTHER_CI}"]', stated(iss=OTHER_CI)),
        ("DCR-10 a slash too many", Reason.STATEMENT_ISSUER, "byte for byte", stated(iss=f"{CI}/")),
        ("T-46 keys never read", Reason.BUNDLE_UNAVAILABLE, "jwks_file", stated(iss=MUTE_CI)),
        ("unknown kid", Reason.JWT_KEY_UNKNOWN, "jwks_file", stated(header={"kid": "ci-2"})),
        ("DCR-9 another's key", Reason.JWT_SIGNATURE, "made anew", stated(key=FOREIGN)),
        ("DCR-9 tampered", Reason.JWT_SIGNATURE, "as the issuer made it", stated(edit=lambda t: f"{t[:-6]}AAAAAA")),
        ("T-25 typ at+jwt", Reason.JWT_TYPE, "typ to JWT", stated(header={"typ": "at+jwt"})),
        ("T-26 jku", Reason.JWT_HEADER, "jku", stated(header={"jku": "https://x.example"})),
        ("T-28 no iat", Reason.JWT_CLAIMS, "iat", stated(iat=None)),
        ("T-28 exp a text", Reason.JWT_CLAIMS, "numbers", stated(exp="soon")),
        ("DCR-16 T-22 for the issuer", Reason.JWT_AUDIENCE, "/register", to_token),
        ("DCR-16 two audiences", Reason.JWT_AUDIENCE, "alone", stated(aud=["https://a.example", "https://b.example"])),
        ("ended", Reason.JWT_EXPIRED, "new statement", stated(beside_now={"iat": -HOUR, "exp": -HOUR + 300})),
        ("of tomorrow", Reason.JWT_NOT_YET_VALID, "clock", stated(beside_now={"iat": 120})),
        ("DCR-35 lives an hour", Reason.STATEMENT_LIFETIME, "ten minutes", stated(beside_now={"exp": HOUR})),
        ("DCR-35 made for long", Reason.STATEMENT_LIFETIME, "behind their iat", stated(beside_now={"iat": -500})),
        ("SPIFFE-14 a blank", Reason.CREDENTIAL_MALFORMED, "line ends out", stated(edit=lambda text: f"{text} ")),
        ("no rule for it", Reason.POLICY_NO_RULE, "when.subject", stated("stranger")),
        ("ROFU-19 no keys stated", Reason.METADATA_INVALID, "State the client's jwks", stated(jwks=None)),
        ("CIMD-10 a private key", Reason.METADATA_INVALID, "jwks", stated(jwks=PRIVATE)),
        ("DCR-12 http redirect", Reason.REDIRECT_URI_INVALID, "Mend", stated(redirect_uris=["http://x.example/cb"])),
        ("T-45 a scope too many", Reason.POLICY_SCOPE, "ci-reads-ledger", stated(said={"scope": "ledger.write"})),
        ("a name of a number", Reason.METADATA_INVALID, "client_name", stated(client_name=7)),
        ("a bad body", Reason.METADATA_INVALID, "client_name", stated(said={"client_name": 7})),
        (
            "T-46 a key that nobody vouches for",
            Reason.KEY_FOREIGN,
            "DPoP proof",
            stated(jwks=None, said={"jwks": jwks(FOREIGN)}),
        ),
    )
)


@pytest.mark.parametrize("case", STATEMENTS, ids=lambda case: case.name)
def test_the_doctor_says_of_a_broken_statement_what_the_service_logs(
    surgery: Surgery, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    agrees(surgery, case, caplog)


# --- assertions of clients ------------------------------------------------------------------------


def own(
    *,
    key: JwtKey | None = None,
    header: Mapping[str, Any] | None = None,
    named: str | None = None,
    beside_now: Mapping[str, int] | None = None,
    **claims: Any,
) -> Make:
    """An assertion of a client that registered by a statement."""

    def make(s: Surgery) -> Call:
        times = {name: s.clock() + offset for name, offset in (beside_now or {}).items()}
        return s.by_assertion(s.assertion(key or s.own, s.registered(), header=header, **times, **claims), named)

    return make


def kept(surgery: Surgery) -> Call:
    """An assertion that was used before."""
    call = own()(surgery)
    surgery.process.call(call.body, path=call.path, headers=call.headers)
    return call


def ended(surgery: Surgery) -> Call:
    """One of a client whose record an operator ended."""
    client_id = surgery.registered("other-pipeline")
    assert surgery.operate("clients", "revoke", client_id)[0] == 0
    return surgery.by_assertion(surgery.assertion(surgery.own, client_id))


def by_document(*, key: JwtKey | None = None, kid: str | None = None, **members: Any) -> Make:
    """An assertion of a client whose document has the surgery's own key."""

    def make(s: Surgery) -> Call:
        url = s.shelf.keyed("/agents/signs", s.own, headers=NO_STORE, **members)
        return s.by_assertion(s.assertion(key or s.own, url, header=None if kid is None else {"kid": kid}), url)

    return make


ASSERTIONS = tuple(
    Case(name, reason, fix, broken, own())
    for name, reason, fix, broken in (
        ("nobody's", Reason.CLIENT_UNKNOWN, "bridge clients show", own(iss="statement-x", sub="statement-x")),
        ("KBC-30 iss another", Reason.ASSERTION_CLAIMS, "both iss and sub", own(iss="somebody")),
        ("KBC-33 no jti", Reason.ASSERTION_CLAIMS, "new jti", own(jti=None)),
        ("KBC-31 aud the token URL", Reason.JWT_AUDIENCE, "not the URL of /token", own(aud="https://127.0.0.1/token")),
        ("KBC-31 aud an array", Reason.JWT_AUDIENCE, "no array", lambda s: own(aud=[s.stand.client.issuer])(s)),
        ("KBC-34 ended", Reason.JWT_EXPIRED, "new assertion", own(beside_now={"iat": -400, "exp": -300})),
        ("KBC-34 begins later", Reason.JWT_NOT_YET_VALID, "clock", own(beside_now={"nbf": 45})),
        ("KBC-34 lives an hour", Reason.JWT_LIFETIME, "600 s", own(beside_now={"exp": HOUR})),
        ("T-28 no exp", Reason.JWT_CLAIMS, "exp as a number", own(exp=None)),
        ("unknown kid", Reason.ASSERTION_KEY, "registered", own(header={"kid": "another"})),
        ("another key under its kid", Reason.JWT_SIGNATURE, "private half", lambda s: own(key=forged(s))(s)),
        ("another kind of key", Reason.ASSERTION_KEY, "algorithm of the key", own(header={"alg": "ES384"})),
        ("KBC-32 T-25 typ at+jwt", Reason.JWT_TYPE, "client-authentication+jwt", own(header={"typ": "at+jwt"})),
        ("T-26 jwk in the header", Reason.JWT_HEADER, "jwk", own(header={"jwk": FOREIGN.public_jwk()})),
        ("another client_id", Reason.CLIENT_ID_MISMATCH, "sub", own(named="somebody-else")),
        ("KBC-33 T-21 used before", Reason.CREDENTIAL_REPLAYED, "new jti", kept),
        ("an ended record", Reason.LEASE_ENDED, "new statement", ended),
    )
) + tuple(
    Case(name, reason, fix, broken, by_document())
    for name, reason, fix, broken in (
        ("CIMD-20 unknown kid", Reason.ASSERTION_KEY, "its document names", by_document(kid="another")),
        (
            "CIMD-20 another algorithm",
            Reason.ASSERTION_KEY,
            "token_endpoint_auth_signing_alg",
            by_document(token_endpoint_auth_signing_alg="ES384"),
        ),
        (
            "CIMD-20 another method",
            Reason.CREDENTIAL_UNSUPPORTED,
            "by the method",
            by_document(token_endpoint_auth_method="none", jwks=None),
        ),
        ("another key under its kid", Reason.JWT_SIGNATURE, "private half", lambda s: by_document(key=forged(s))(s)),
    )
)


def forged(surgery: Surgery) -> JwtKey:
    """Another key that goes by the name of the surgery's own."""
    return JwtKey.generate("ES256", kid=surgery.own.kid)


@pytest.mark.parametrize("case", ASSERTIONS, ids=lambda case: case.name)
def test_the_doctor_says_of_a_broken_assertion_what_the_service_logs(
    surgery: Surgery, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    agrees(surgery, case, caplog)


# --- metadata documents ---------------------------------------------------------------------------


def visit(surgery: Surgery, url: str) -> Call:
    """The doctor is given the URL; the service hears from its client."""
    call = surgery.by_assertion(surgery.assertion(surgery.own, url), url)
    return replace(call, given=GivenDocument(url), client_id=None)


def published(path: str = "/agents/reads", **members: Any) -> Make:
    """A document with the surgery's own key and these members."""
    return lambda s: visit(s, s.shelf.keyed(path, s.own, headers=NO_STORE, **members))


def answered(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> Make:
    """What is there is no document; `{}` in the body is one that is sound."""

    def make(s: Surgery) -> Call:
        url = s.shelf.keyed("/agents/odd", s.own)
        sound = s.shelf.pages["/agents/odd"].partition(b"\r\n\r\n")[2]
        s.shelf.pages["/agents/odd"] = http(sound if body == b"{}" else body, status, **NO_STORE, **headers)
        return visit(s, url)

    return make


def named(edit: Callable[[str], str]) -> Make:
    """A client_id that is none that a client may have."""
    return lambda s: visit(s, edit(s.shelf.keyed("/agents/reads", s.own, headers=NO_STORE)))


DOCUMENTS = tuple(
    Case(name, reason, fix, broken, published())
    for name, reason, fix, broken in (
        ("CIMD-4 a query", Reason.DOCUMENT_REFUSED, "one spelling", named(lambda url: f"{url}?a=1")),
        ("CIMD-3 a dot segment", Reason.DOCUMENT_REFUSED, "dot segment", named(lambda url: f"{url}/../reads")),
        ("CIMD-2 a user part", Reason.DOCUMENT_REFUSED, "user part", named(lambda url: url.replace("//", "//me@"))),
        ("CIMD-2 no path", Reason.DOCUMENT_REFUSED, "a path", named(lambda url: url.partition("/agents")[0])),
        ("CIMD-24 no rule", Reason.POLICY_NO_RULE, "when.url", published("/strangers/reads")),
        ("CIMD-24 denied", Reason.POLICY_DENY_RULE, "", published("/agents/banned")),
        ("CIMD-24 waits", Reason.APPROVAL_PENDING, "bridge clients approve", published("/partners/waits")),
        ("CIMD-11 T-1 no public address", Reason.DOCUMENT_REFUSED, "allow_hosts", lambda s: visit(s, GUARDED)),
        ("T-3 a service's port", Reason.DOCUMENT_REFUSED, "443", lambda s: visit(s, LOW_PORT)),
        ("CIMD-6 not found", Reason.DOCUMENT_REFUSED, "status 200", answered(status="404 Not Found")),
        (
            "CIMD-7 T-2 a redirect",
            Reason.DOCUMENT_REFUSED,
            "no redirect is followed",
            answered(status="302 Found", location="https://127.0.0.1/"),
        ),
        ("CIMD-8 html", Reason.DOCUMENT_REFUSED, "application/json", answered(content_type="text/html")),
        ("T-6 gzip", Reason.DOCUMENT_REFUSED, "without compression", answered(content_encoding="gzip")),
        ("CIMD-9 too large", Reason.DOCUMENT_REFUSED, "5120", answered(b'{"a": "' + b"x" * 6000 + b'"}')),
        ("CIMD-9 no JSON", Reason.DOCUMENT_REFUSED, "one JSON object", answered(b"<html>")),
        ("CIMD-9 a name twice", Reason.DOCUMENT_REFUSED, "twice", answered(b'{"a": 1, "a": 2}')),
        (
            "CIMD-5 another client_id",
            Reason.DOCUMENT_REFUSED,
            "its own URL",
            published(client_id="https://x.example/a"),
        ),
        ("CIMD-10 T-9 a secret", Reason.DOCUMENT_REFUSED, "client_secret", published(client_secret="s3cret")),
        ("CIMD-10 T-9 a private key", Reason.DOCUMENT_REFUSED, "public keys alone", published(jwks=PRIVATE)),
        ("a member's type", Reason.DOCUMENT_REFUSED, "that the detail names", published(redirect_uris="x")),
        (
            "CIMD-21 keys without a method",
            Reason.DOCUMENT_REFUSED,
            "take the keys out",
            published(token_endpoint_auth_method=None),
        ),
        ("CIMD-20 no keys", Reason.DOCUMENT_REFUSED, "jwks or jwks_uri", published(jwks=None)),
        (
            "SCA-14 no spiffe_id",
            Reason.DOCUMENT_REFUSED,
            "spiffe_id",
            published(token_endpoint_auth_method="spiffe_jwt", jwks=None),
        ),
        (
            "SCA-15 by certificate",
            Reason.DOCUMENT_REFUSED,
            "spiffe_jwt",
            published(token_endpoint_auth_method="spiffe_x509", jwks=None, spiffe_id="spiffe://example.org/a"),
        ),
        (
            "a shared secret",
            Reason.DOCUMENT_REFUSED,
            "none, private_key_jwt",
            published(token_endpoint_auth_method="client_secret_basic", jwks=None),
        ),
        (
            "bound by certificate",
            Reason.DOCUMENT_REFUSED,
            "tls_client_certificate",
            published(tls_client_certificate_bound_access_tokens=True),
        ),
        ("CIMD-32 expires_at a text", Reason.DOCUMENT_REFUSED, "number", published(client_id_expires_at="never")),
        ("CIMD-32 over", Reason.DOCUMENT_REFUSED, "later client_id_expires_at", published(client_id_expires_at=1)),
        ("another grant", Reason.POLICY_GRANT_TYPE, "", published(grant_types=["authorization_code"])),
    )
)


@pytest.mark.parametrize("case", DOCUMENTS, ids=lambda case: case.name)
def test_the_doctor_says_of_a_broken_document_what_the_service_logs(
    surgery: Surgery, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    agrees(surgery, case, caplog)


# --- SVIDs beside documents and keys --------------------------------------------------------------


def acting(path: str = "/ns/web/sa/acts", **members: Any) -> Make:
    """An SVID that comes for a document which names all workloads of the web."""
    stated = {"token_endpoint_auth_method": "spiffe_jwt", "spiffe_id": "spiffe://example.org/ns/web/sa/*", **members}
    return lambda s: s.by_svid(path, s.shelf.publish("/agents/acts", NO_STORE, **stated))


def instance(*, proved: bool) -> Make:
    """A registration of a workload whose client is one per instance."""

    def make(s: Surgery) -> Call:
        call = s.by_statement(s.stand.svid("/ns/jobs/sa/registers"))
        if not proved:
            return call
        header = s.proof(htu=s.stand.endpoint).encode()
        return replace(call, headers=(*call.headers, (b"dpop", header)), proved=frozenset({BindingMethod.JKT}))

    return make


BESIDE = (
    Case(
        "SCA-13 not named",
        Reason.CLIENT_ID_MISMATCH,
        "spiffe_id",
        acting(spiffe_id="spiffe://example.org/ns/web/sa/another"),
        acting(),
    ),
    Case(
        "CIMD-20 another method",
        Reason.CREDENTIAL_UNSUPPORTED,
        "by the method",
        acting(token_endpoint_auth_method="none", spiffe_id=None),
        acting(),
    ),
    Case(
        "T-46 an instance without a key",
        Reason.POLICY_PROOF,
        "DPoP proof",
        instance(proved=False),
        instance(proved=True),
    ),
)


@pytest.mark.parametrize("case", BESIDE, ids=lambda case: case.name)
def test_the_doctor_says_of_an_svid_beside_a_document_or_key_what_the_service_logs(
    surgery: Surgery, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    agrees(surgery, case, caplog)


def test_a_proof_without_the_nonce_that_is_asked_for_is_said_to_lack_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = Surgery(tmp_path / "asking", Clock(), more="[dpop]\nrequire_nonce = true\n")
    try:
        without = running.by_proof(running.proof())
        diagnosis = running.diagnose(without)
        answer = running.process.call(without.body, path=without.path, headers=without.headers)
        assert diagnosis.reason is Reason.DPOP_NONCE
        assert diagnosis.decisive is not None
        assert "DPoP-Nonce" in diagnosis.decisive.advice
        nonce = dict(answer.headers)["DPoP-Nonce"]
        given = running.by_proof(running.proof(nonce=nonce))
        assert running.diagnose(given).reason is None
        assert running.serve(given, caplog) is None
    finally:
        running.close()


def test_a_document_in_a_file_is_judged_beside_its_url_and_nothing_is_fetched(surgery: Surgery) -> None:
    url = surgery.shelf.keyed("/agents/in-a-file", surgery.own)
    body = surgery.shelf.pages.pop("/agents/in-a-file").partition(b"\r\n\r\n")[2]
    before = surgery.shelf.counts[url]
    assert surgery.diagnose(surgery.by_name(url, body)).reason is None
    moved = json.dumps({**json.loads(body), "client_id": f"{url}/"}).encode()
    assert surgery.diagnose(surgery.by_name(url, moved)).reason is Reason.DOCUMENT_REFUSED
    assert surgery.shelf.counts[url] == before


def test_a_document_that_nobody_wants_yet_is_shown_to_an_operator_all_the_same(surgery: Surgery) -> None:
    url = surgery.shelf.keyed("/strangers/first", surgery.own, headers=NO_STORE, client_secret="s3cret")
    diagnosis = surgery.diagnose(surgery.by_name(url))
    failed = [finding.name for finding in diagnosis.findings if finding.reason is not None]
    assert failed == ["admitted", "secrets"]
    assert diagnosis.reason is Reason.POLICY_NO_RULE
    assert "s3cret" not in repr(diagnosis)


def test_an_assertion_that_names_no_client_is_taken_for_an_svid_as_the_service_does(
    surgery: Surgery, caplog: pytest.LogCaptureFixture
) -> None:
    call = surgery.by_assertion(surgery.assertion(surgery.own, "x", sub=None))
    assert b"jwt-bearer" in call.body
    assert JWT_BEARER.endswith("jwt-bearer")
    diagnosis = surgery.diagnose(call)
    assert (diagnosis.reason, surgery.serve(call, caplog)) == (Reason.JWT_CLAIMS, "jwt_claims")


@pytest.mark.parametrize("kind", ["a statement", "an assertion", "a document"])
def test_the_id_of_a_refusal_of_somebody_verified_leads_to_the_same_step(surgery: Surgery, kind: str) -> None:
    """With the audit log alone: no log, no credential."""
    make, step, reason = {
        "a statement": (stated("other-pipeline", said={"scope": "ledger.write"}), "policy", "policy_scope"),
        "an assertion": (ended, "lease", "lease_ended"),
        "a document": (
            by_document(token_endpoint_auth_signing_alg="ES384"),
            "key",
            "assertion_key",
        ),
    }[kind]
    call, identifier = make(surgery), bridge.ambient.new_id()
    surgery.process.call(call.body, path=call.path, headers=call.headers, request_id=identifier)
    surgery.process.worker._refusals.flush(surgery.clock() + 60, all_minutes=True)
    code, said = surgery.operate("doctor", identifier, "--json")
    answer = json.loads(said)
    failed = [one["name"] for one in answer["steps"] if one["outcome"] == "failed"]
    assert (code, answer["reason"], failed[0]) == (1, reason, step)
    assert answer["verified"]


@pytest.mark.parametrize("make", [stated(), own(), by_document(), published(), proof(), acting()], ids=range(6))
def test_no_two_steps_of_one_examination_have_the_same_name(surgery: Surgery, make: Make) -> None:
    names = [finding.name for finding in surgery.diagnose(make(surgery)).findings]
    assert len(set(names)) == len(names)
