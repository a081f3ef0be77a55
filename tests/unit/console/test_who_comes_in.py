"""Nobody sees a page of the console who is not known to be an operator, and no other page reaches it (T-44)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.console.contents import SECTIONS
from bridge.console.operators import ByCertificate, BySocket
from bridge.console.origins import LoopbackOrigin, NamedOrigin
from bridge.console.sign_in import _own_path
from bridge.model.errors import ConsoleRefused, EvidenceRejected
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.policy.pattern import spiffe_id_pattern
from tests.browsing import Page
from tests.unit.console.stand import NOW, ORIGIN, RESEARCHER, ConsoleStand

PATHS = [section.path for section in SECTIONS]
URL = "https://console.example.org:8500"
OPERATOR = "spiffe://example.org/ns/ops/sa/ada"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleStand]:
    """Nothing is changed here."""
    stand = ConsoleStand(tmp_path_factory.mktemp("console"))
    yield stand
    stand.close()


def is_told_nothing(page: Page) -> bool:
    """A refusal that shows no name, no number and no way on."""
    return "<nav" not in page.text and "You are <strong>" not in page.text and "<table" not in page.text


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_for_operators_and_safe_to_show(console: ConsoleStand, path: str) -> None:
    page = console.browser().get(path)
    assert page.status == 200
    assert "You are <strong>local user " in page.text
    assert page.headers["Cache-Control"] == "no-store"
    policy = page.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri"):
        assert part in policy
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert not {"script", "iframe", "img", "object"} & set(page.tags)
    assert not any(name == "style" or name.startswith("on") for name in page.attributes)
    assert page.cookies == ()
    strangers = console.browser(**{"bridge.peer_uid": None}).get(path)
    assert strangers.status == 403
    assert is_told_nothing(strangers)


def test_a_page_that_is_not_there_is_not_there_for_operators_alone(console: ConsoleStand) -> None:
    assert console.browser().get("/nowhere").status == 404
    assert console.browser().get(ORIGIN + "//trust").status == 404
    assert console.browser(**{"bridge.peer_uid": None}).get("/nowhere").status == 403


def test_no_page_does_anything_by_a_method_that_it_does_not_have(console: ConsoleStand) -> None:
    for method in ("POST", "HEAD", "OPTIONS", "PUT"):
        page = console.browser()._ask(method, "/trust", b"", ())
        assert (page.status, page.headers["Allow"]) == (405, "GET")


# --- under which name ---------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:8500", "127.0.0.1:1", "[::1]:8500"])
def test_a_socket_is_called_what_ssh_calls_it(console: ConsoleStand, host: str) -> None:
    assert console.browser().get("/", (b"host", host.encode())).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8500",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:8500@evil.example",
        "localhost:",
        "localhost:0",
        "localhost:123456",
        "LOCALHOST",
        "localhost.",
        "[::1]x",
        "::1",
        "127.0.0.2",
        "0.0.0.0",
        "",
    ],
)
def test_another_name_leads_nowhere_T_3(console: ConsoleStand, host: str) -> None:
    """DNS rebinding: somebody else's name that was made to lead here."""
    page = console.browser().get("/", (b"host", host.encode()))
    assert page.status == 421
    assert is_told_nothing(page)
    assert console.observed.refusals[-1][1] == "console_host"
    assert console.browser().get("/style.css", (b"host", host.encode())).status == 421


def test_a_console_on_an_address_has_one_name() -> None:
    own = NamedOrigin(URL)
    assert own.of({"HTTP_HOST": "console.example.org:8500"}) == URL
    assert NamedOrigin("https://c.example.org").of({"HTTP_HOST": "c.example.org"}) == "https://c.example.org"
    for host in ("console.example.org", "console.example.org:8501", "localhost:8500", "127.0.0.1:8500", ""):
        with pytest.raises(ConsoleRefused):
            own.of({"HTTP_HOST": host})
    with pytest.raises(ConsoleRefused):
        LoopbackOrigin().of({})


# --- who ----------------------------------------------------------------------------------------


def test_the_account_at_the_socket_is_the_operator_s_name() -> None:
    known = BySocket().identify({"bridge.peer_uid": 0}, now=NOW)
    assert (known.name, known.binding) == ("local user root", "uid 0")
    assert BySocket().identify({"bridge.peer_uid": 4_000_000_000}, now=NOW).name == "local user 4000000000"
    with pytest.raises(ConsoleRefused):
        BySocket().identify({"bridge.peer_chain": (b"x",)}, now=NOW)


def identity(spiffe_id: str) -> VerifiedIdentity:
    subject = PolicySubject(Source.SPIFFE, EvidenceKind.X509_SVID, spiffe_id=SpiffeId.parse(spiffe_id))
    return VerifiedIdentity(subject, "hash", "key", NOW, NOW + 60)


class ByWord:
    """A verifier of chains that hold a SPIFFE ID as it is written."""

    def __init__(self) -> None:
        self.denied: set[str] = set()

    def __call__(self, chain: tuple[bytes, ...], *, now: int) -> VerifiedIdentity:
        if chain[0] == b"forged":
            raise EvidenceRejected(Reason.X509_PATH, "no path")
        return identity(chain[0].decode())

    def access(self, *patterns: str) -> ByCertificate:
        return ByCertificate(
            [spiffe_id_pattern(text) for text in patterns],
            verify=self,
            is_denied=lambda subject: str(subject.spiffe_id) in self.denied,
        )


@pytest.fixture(scope="module")
def word() -> ByWord:
    return ByWord()


@pytest.fixture(scope="module")
def by_svid(tmp_path_factory: pytest.TempPathFactory, word: ByWord) -> Iterator[ConsoleStand]:
    access = word.access("spiffe://example.org/ns/ops/sa/*")
    stand = ConsoleStand(tmp_path_factory.mktemp("svid"), access=access, origins=NamedOrigin(URL), origin=URL)
    yield stand
    stand.close()


def showing(stand: ConsoleStand, *chain: str) -> Page:
    connection: dict[str, Any] = {"bridge.peer_uid": None, "bridge.peer_chain": tuple(one.encode() for one in chain)}
    return stand.browser(**connection).get("/")


def test_an_operator_is_known_by_the_svid(by_svid: ConsoleStand) -> None:
    page = showing(by_svid, OPERATOR)
    assert page.status == 200
    assert f"You are <strong>{OPERATOR}</strong>" in page.text


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        pytest.param((), "console_operator", id="nothing"),
        pytest.param(("forged",), "x509_path", id="a chain that does not hold"),
        pytest.param(("spiffe://example.org/ns/web/sa/api",), "console_operator", id="another workload"),
        pytest.param(("spiffe://example.org/ns/ops/sa/ada/deputy",), "console_operator", id="a longer path"),
        pytest.param(("spiffe://example.org/ns/ops/sa",), "console_operator", id="a shorter path"),
        pytest.param(("spiffe://other.example/ns/ops/sa/ada",), "console_operator", id="another trust domain"),
    ],
)
def test_everybody_else_is_nobody_here(by_svid: ConsoleStand, chain: tuple[str, ...], reason: str) -> None:
    page = showing(by_svid, *chain)
    assert page.status == 403
    assert is_told_nothing(page)
    assert by_svid.observed.refusals[-1][1] == reason


def test_an_operator_who_is_denied_is_none(by_svid: ConsoleStand, word: ByWord) -> None:
    assert showing(by_svid, OPERATOR).status == 200
    word.denied.add(OPERATOR)
    assert showing(by_svid, OPERATOR).status == 403
    word.denied.clear()


def test_a_socket_s_account_is_nobody_on_an_address(by_svid: ConsoleStand) -> None:
    """Nothing but the certificate counts there; what a client says of itself in headers never does."""
    browser = by_svid.browser(**{"bridge.peer_uid": 0})
    assert browser.get("/", (b"client-cert", b":AAAA:"), (b"bridge-peer-uid", b"0")).status == 403


def test_no_stranger_makes_us_say_what_is_wrong(by_svid: ConsoleStand) -> None:
    page = showing(by_svid, "spiffe://example.org/ns/web/sa/api")
    assert "no operator" not in page.text
    page = by_svid.browser(**{"bridge.peer_chain": (OPERATOR.encode(),)}).get(f"/approvals/done?id={RESEARCHER}&id=2")
    assert page.status == 400
    assert "repeated_parameter" in page.text


@pytest.mark.parametrize(
    ("path", "query", "back"),
    [
        ("/trust/domain", "name=example.org", "/trust/domain?name=example.org"),
        ("/", "", "/"),
        ("//evil", "", "/"),
        ("//evil/trust", "x=1", "/"),
        ("/trust//evil", "", "/"),
        ("/\\evil", "", "/"),
        ("/@evil.example", "", "/"),
    ],
)
def test_a_sign_in_leads_back_to_a_path_that_no_browser_takes_for_a_host(path: str, query: str, back: str) -> None:
    assert _own_path({"PATH_INFO": path, "QUERY_STRING": query}) == back
