"""Where the pages stand, and what each is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from flask import request

from bridge.users.development import UnprovedSignIn
from bridge.web.lean import Application, Response
from bridge.web.pages.account import AccountPages
from bridge.web.pages.authorize import AuthorizePages
from bridge.web.pages.cookies import Cookies
from bridge.web.pages.development_sign_in import DevelopmentSignIn
from bridge.web.pages.errors import ErrorPages
from bridge.web.pages.form_tokens import FormTokens
from bridge.web.pages.pending_sign_ins import PendingSignIns
from bridge.web.pages.rendering import STYLE, Pages
from bridge.web.pages.sign_in import Arrivals
from bridge.web.pages.upstream_sign_in import UpstreamSignIn
from bridge.web.pages.visits import Visits
from bridge.web.services import (
    ACCOUNT,
    AUTHORIZE,
    CALLBACK,
    CONSENT,
    SIGN_IN,
    SIGN_OUT,
    PageServices,
    Services,
)

View = Callable[[], Response]


class PageRoutes:
    """All pages of one application."""

    def __init__(self, services: Services, own: PageServices) -> None:
        issuer = services.endpoints.issuer
        base, host = urlsplit(issuer).path, urlsplit(issuer).netloc
        self._pages = Pages(base=base, host=host)
        self.errors = ErrorPages(self._pages, issuer=issuer)
        cookies = Cookies(issuer)
        pending = PendingSignIns(own.cookie_seal, cookies)
        visits = Visits(
            cookies=cookies,
            sessions=own.sessions,
            tokens=FormTokens(own.form_key),
            new_secret=own.new_secret,
            clock=services.clock,
        )
        arrivals = Arrivals(visits=visits, sessions=own.sessions, pending=pending, base=base)
        self._sign_in: DevelopmentSignIn | UpstreamSignIn
        if isinstance(own.sign_in, UnprovedSignIn):
            self._sign_in = DevelopmentSignIn(
                own.sign_in,
                visits=visits,
                pending=pending,
                arrivals=arrivals,
                pages=self._pages,
                base=base,
                new_secret=own.new_secret,
            )
        else:
            self._sign_in = UpstreamSignIn(own.sign_in, visits=visits, pending=pending, arrivals=arrivals)
        self._authorize = AuthorizePages(
            authorizing=own.authorizing,
            home=own.home,
            visits=visits,
            sign_in=self._sign_in,
            pages=self._pages,
            issuer=issuer,
            base=base,
        )
        self._account = AccountPages(
            approvals=own.approvals,
            words=own.words,
            home=own.home,
            visits=visits,
            sign_in=self._sign_in,
            pages=self._pages,
            base=base,
        )

    def add_to(self, app: Application, base: str) -> None:
        """Put them below the issuer's path `base`."""
        authorize, account, sign_in = self._authorize, self._account, self._sign_in
        _add(app, base + AUTHORIZE, "authorize", {"GET": authorize.authorize})
        _add(app, base + CONSENT, "consent", {"GET": authorize.show, "POST": authorize.decide})
        _add(app, base + ACCOUNT, "account", {"GET": account.show, "POST": account.end})
        _add(app, base + SIGN_OUT, "sign_out", {"GET": account.ask_sign_out, "POST": account.sign_out})
        _add(app, base + STYLE, "style", {"GET": self._pages.style})
        if isinstance(sign_in, DevelopmentSignIn):
            _add(app, base + SIGN_IN, "sign_in", {"GET": sign_in.show, "POST": sign_in.enter})
        else:
            _add(app, base + SIGN_IN, "sign_in", {"GET": sign_in.show})
            _add(app, base + CALLBACK, "callback", {"GET": sign_in.come_back})


def _add(app: Application, path: str, endpoint: str, views: Mapping[str, View]) -> None:
    def view() -> Response:
        return views[request.environ["REQUEST_METHOD"]]()

    app.add_url_rule(path, endpoint, view, methods=[*views], provide_automatic_options=False)
    # A HEAD would be a GET whose answer nobody sees, and some of these open, fetch or answer something.
    for rule in app.url_map.iter_rules(endpoint):
        rule.methods = set(views)
