"""The console of a whole service: by SVID on an address, on a Unix socket, and by a sign-in; approvals all the way."""

from __future__ import annotations

import http.client
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import quote, urlencode
from wsgiref.types import WSGIApplication

import pytest

from bridge.cli.operator import operator_name
from bridge.lab.x509 import X509Svid
from tests.browsing import FORM, Browser, Page
from tests.flows.client import SECONDS, Answer, jwt_fields
from tests.flows.inprocess import InProcess
from tests.flows.stand import RULES, Stand
from tests.flows.test_sign_in import upstream
from tests.live.processes import free_ports
from tests.openid_provider import OpenIdProvider

RESEARCH = "/ns/research/sa/"
OPERATOR = "/ns/ops/sa/ada"
ASK = {"grant_type": "client_credentials", "scope": "orders.read"}


DENIES = """
[[rule]]
id = "no-operator"
why = "INC-9"
effect = "deny"
when = { path = "/ns/ops/sa/intruder" }
"""


def console_of(port: int) -> str:
    return f'[console]\nlisten = "127.0.0.1:{port}"\noperators = ["spiffe://example.org/ns/ops/sa/*"]\n'


class Operated:
    """A service whose console listens on an address, for operators with SVIDs."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.stand = Stand(folder, more=console_of(self.port), workers=1)

    def connect(self, svid: X509Svid | None) -> HTTPSConnection:
        connection = self.stand.client.connect(svid, mtls=True)
        connection.port = self.port
        return connection

    def visit(
        self, path: str, *, svid: X509Svid | None, fields: Mapping[str, str] | None = None, host: str | None = None
    ) -> Page:
        connection = self.connect(svid)
        try:
            return exchange(connection, path, fields, host=host)
        finally:
            connection.close()


def exchange(connection: HTTPConnection, path: str, fields: Mapping[str, str] | None, host: str | None = None) -> Page:
    """A page, or with `fields` the answer to a form."""
    headers = {"Content-Type": FORM.decode()} if fields is not None else {}
    if host is not None:
        headers["Host"] = host
    body = None if fields is None else urlencode(fields)
    connection.request("GET" if fields is None else "POST", path, body, headers)
    answer = connection.getresponse()
    return Page(path, answer.status, dict(answer.headers), (), answer.read().decode())


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    running = Operated(tmp_path_factory.mktemp("operated"))
    with running.stand:
        yield running


def ask(stand: Stand, name: str) -> Answer:
    """A workload that has to wait for an operator asks for a token."""
    return stand.client.post("/token", jwt_fields(stand.jwt(RESEARCH + name), **ASK))


def waiting_page(name: str) -> str:
    return f"/approvals/client?client={quote(f'spiffe://example.org{RESEARCH}{name}', safe='')}"


def test_an_operator_lets_a_workload_in_and_the_log_says_who_and_why(operated: Operated) -> None:
    stand, operator = operated.stand, operated.stand.authority.x509_svid(OPERATOR)
    assert ask(stand, "ada").status == 403
    page = operated.visit(waiting_page("ada"), svid=operator)
    assert page.status == 200
    fields = {**page.form.fields, "approve": "approve", "note": "SEC-7, reviewed"}
    answer = operated.visit(page.form.action, svid=operator, fields=fields)
    assert answer.status == 303
    assert ask(stand, "ada").token
    correlation_id = answer.headers["X-Request-Id"]
    record = stand.json("clients", "show", f"spiffe://example.org{RESEARCH}ada")
    (row,) = [row for row in record["audit"] if row["id"] == correlation_id]
    assert (row["event"], row["subject"]) == ("approved", f"spiffe://example.org{RESEARCH}ada")
    assert (row["source_address"], row["reason"]) == (f"spiffe://example.org{OPERATOR}", "SEC-7, reviewed")
    assert "SEC-7, reviewed" in stand.bridge("audit", "show", correlation_id).stdout
    # Another operator's form is nobody's.
    other = stand.authority.x509_svid("/ns/ops/sa/grace")
    assert operated.visit(page.form.action, svid=other, fields=fields).status == 403


def test_workloads_of_the_node_see_nothing(operated: Operated) -> None:
    """T-44: loopback is no proof of anything."""
    stand = operated.stand
    operator = stand.authority.x509_svid(OPERATOR)
    assert operated.visit("/", svid=operator).status == 200
    strangers = {
        "a workload": stand.authority.x509_svid("/ns/web/sa/api"),
        "nobody": None,
    }
    for who, svid in strangers.items():
        page = operated.visit("/", svid=svid)
        assert (who, page.status, "<nav" in page.text) == (who, 403, False)
    # Of another trust domain, unknown here, the handshake is the end.
    with pytest.raises((OSError, http.client.HTTPException)):
        operated.visit("/", svid=stand.stranger.x509_svid(OPERATOR))


def test_the_console_has_one_name_and_one_listener(operated: Operated) -> None:
    stand, operator = operated.stand, operated.stand.authority.x509_svid(OPERATOR)
    own = f"127.0.0.1:{operated.port}"
    assert operated.visit("/", svid=operator, host=own).status == 200
    for host in ("evil.example", f"localhost:{operated.port}", f"127.0.0.1:{stand.client.port}"):
        assert operated.visit("/", svid=operator, host=host).status == 421
    for svid in (None, operator):
        assert stand.client.request("GET", "/approvals", svid=svid).status == 404
    assert operated.visit("/token", svid=operator, fields=ASK).status == 404


def test_an_operator_who_is_denied_is_out_at_once(operated: Operated) -> None:
    leaver = operated.stand.authority.x509_svid("/ns/ops/sa/leaver")
    assert operated.visit("/", svid=leaver).status == 200
    operated.stand.bridge("clients", "deny", "spiffe://example.org/ns/ops/sa/leaver", "--note", "left")
    assert operated.visit("/", svid=leaver).status == 403
    # Whom a rule denies is no better off.
    intruder = operated.stand.authority.x509_svid("/ns/ops/sa/intruder")
    assert operated.visit("/", svid=intruder).status == 200
    operated.stand.write_rules(RULES + DENIES)
    operated.stand.until(lambda: operated.visit("/", svid=intruder).status == 403, "the rule holds")


# --- on a socket --------------------------------------------------------------------------------


class SocketConnection(HTTPConnection):
    """By a Unix socket, under the name that a forwarding has."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._path))


def test_the_socket_is_for_the_account_alone_and_names_it_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run/console.sock"
    with Stand(tmp_path, more='[console]\nlisten = "unix:run/console.sock"\n', workers=1) as stand:
        assert f"console unix:{path}" in stand.log
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask(stand, "grace").status == 403
        connection = SocketConnection(path)
        page = exchange(connection, waiting_page("grace"), None)
        fields = {**page.form.fields, "deny": "deny", "note": "INC-42"}
        answer = exchange(connection, page.form.action, fields)
        assert (answer.status, exchange(connection, answer.location, None).status) == (303, 200)
        connection.close()
        assert ask(stand, "grace").status == 401
        (row,) = stand.audit(answer.headers["X-Request-Id"])
        assert (row["event"], row["reason"]) == ("denied", "INC-42")
        # The same name that commands have for this account.
        assert row["source_address"] == operator_name()
    assert not path.exists()


# --- by a sign-in -------------------------------------------------------------------------------

ADA, BOB = "248289761001", "somebody-else"


class SignedIn:
    """A service in this process that people sign in at, and whose console Ada may open."""

    def __init__(self, folder: Path, provider: OpenIdProvider) -> None:
        self.provider = provider
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        own = f'[console]\nlisten = "127.0.0.1:{port}"\nsubjects = ["{ADA}"]\n'
        self.process = InProcess(
            folder / "service", lambda place: Stand(place, more=upstream(provider, folder, secret=True) + own)
        )
        # What a browser keeps of this host, whichever port it came from.
        self.cookies: dict[str, str] = {}

    @property
    def console(self) -> Browser:
        return self._browser(self.url, lambda: self.process.worker.console_wsgi)

    @property
    def pages(self) -> Browser:
        """Where people see what they approved."""
        return self._browser(self.process.stand.client.issuer, lambda: self.process.worker.wsgi)

    def sign_in(self, browser: Browser, url: str, subject: str = ADA) -> Page:
        """Go there, sign in at the provider on the way, and come back."""
        self.provider.conduct.subject = subject
        self.provider.redirect_uri = f"{browser.issuer}/sign-in/callback"
        page = browser.get(url)
        assert page.location.startswith(self.provider.issuer)
        return browser.follow(browser.get(self.provider.visit(page.location)))

    def _browser(self, issuer: str, app: Callable[[], WSGIApplication]) -> Browser:
        browser = Browser(app, issuer=issuer, connection={"bridge.listener": "console", "bridge.peer_chain": ()})
        browser.cookies = self.cookies
        return browser


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedIn]:
    folder = tmp_path_factory.mktemp("people")
    with OpenIdProvider(folder) as provider:
        running = SignedIn(folder, provider)
        yield running
        running.process.close()


@pytest.fixture
def signed_in(people: SignedIn) -> SignedIn:
    """With a browser that was nowhere before."""
    people.cookies = {}
    return people


def test_an_operator_signs_in_and_is_where_they_wanted_to_be(signed_in: SignedIn) -> None:
    page = signed_in.sign_in(signed_in.console, "/trust/domain?name=example.org")
    assert (page.status, page.url) == (200, f"{signed_in.url}/trust/domain?name=example.org")
    assert f"You are <strong>{ADA} at {signed_in.provider.issuer}</strong>" in page.text
    assert set(signed_in.cookies) == {"__Host-bridge-console-session"}
    page = signed_in.console.get("/")
    assert page.status == 200
    gone = signed_in.console.submit(page)
    assert "You are signed out" in gone.text
    assert signed_in.cookies == {}
    assert signed_in.console.get("/").location.startswith(signed_in.provider.issuer)


def test_whoever_else_signs_in_there_is_no_operator(signed_in: SignedIn) -> None:
    page = signed_in.sign_in(signed_in.console, "/", BOB)
    assert page.status == 403
    assert "<nav" not in page.text
    assert not any(name.endswith("session") for name in signed_in.cookies)


def test_a_session_of_the_pages_opens_no_console_and_the_other_way_round(signed_in: SignedIn) -> None:
    assert signed_in.sign_in(signed_in.pages, "/account").status == 200
    theirs = signed_in.cookies["__Host-bridge-session"]
    assert signed_in.console.get("/").status == 303
    signed_in.cookies["__Host-bridge-console-session"] = theirs
    assert signed_in.console.get("/").status == 303
    signed_in.cookies = {}
    assert signed_in.sign_in(signed_in.console, "/").status == 200
    signed_in.cookies["__Host-bridge-session"] = signed_in.cookies["__Host-bridge-console-session"]
    assert signed_in.pages.get("/account").status == 303


def test_a_form_of_a_session_that_is_over_does_nothing(signed_in: SignedIn) -> None:
    page = signed_in.sign_in(signed_in.console, "/")
    form = page.form
    kept = dict(signed_in.cookies)
    assert signed_in.console.submit(page).status == 200
    signed_in.cookies = kept
    answer = signed_in.console.post("/approvals/client", {"client": "x", **form.fields})
    assert answer.status == 403
    assert "signed out meanwhile. Nothing was done" in answer.text
    # And one of a session before this one is no good either.
    assert signed_in.sign_in(signed_in.console, "/").status == 200
    assert signed_in.console.submit(page).status == 403


def test_a_way_back_that_nobody_began_leads_nowhere(signed_in: SignedIn) -> None:
    assert signed_in.console.get("/sign-in/callback?state=x&code=y").status == 403
    assert signed_in.console.get("/sign-in/callback").status == 403
    assert signed_in.cookies == {}


@pytest.mark.parametrize("path", ["/%5Cevil.example/", "/nowhere%0d%0a", "/@evil.example"])
def test_a_sign_in_leads_back_to_pages_of_ours_alone(signed_in: SignedIn, path: str) -> None:
    page = signed_in.sign_in(signed_in.console, path)
    assert (page.status, page.url) == (200, signed_in.url + "/")


def test_the_style_is_there_for_who_is_not_signed_in(signed_in: SignedIn) -> None:
    assert signed_in.console.get("/style.css").status == 200
    assert signed_in.console.get("/trust").status == 303
