"""Whatever a browser sends: a page, never a defect, and nobody becomes anybody (F-12)."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.browsing import FORM
from tests.unit.web.pages.stand import DOCUMENT, REQUEST_URI, Stand

STAND = Stand()
PATHS = ("/authorize", "/consent", "/account", "/sign-in", "/sign-out", "/style.css", "/sign-in/callback")
NAMES = (
    "client_id",
    "request_uri",
    "state",
    "form_token",
    "approve",
    "deny",
    "user",
    "grant_id",
    "signed_out",
    "scope",
)
VALUES = st.one_of(
    st.sampled_from(
        [DOCUMENT, REQUEST_URI, "", "x", "%", "%ff", "%00", "+", "a=b", "\x7f", "é".encode().decode("latin-1")]
    ),
    st.text(max_size=30).map(quote),
)
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES).map("=".join), max_size=6).map("&".join)
RAW = st.binary(max_size=60).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
COOKIES = st.one_of(
    RAW,
    st.lists(
        st.tuples(st.sampled_from(["browser", "session", "sign-in-", "sign-in-0123456789abcdef"]), RAW).map(
            lambda pair: f"__Host-bridge-{pair[0]}=".encode() + pair[1]
        ),
        max_size=5,
    ).map(b"; ".join),
)


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(PATHS),
    query=PAIRS,
    body=st.one_of(PAIRS.map(lambda text: text.encode("latin-1", "replace")), RAW),
    cookie=COOKIES,
)
def test_nothing_that_is_sent_is_a_defect_or_a_session_F_12(
    method: str, path: str, query: str, body: bytes, cookie: bytes
) -> None:
    browser = STAND.browser()
    headers = [(b"cookie", cookie), *([(b"content-type", FORM)] if method == "POST" else [])]
    query = query.encode("latin-1", "replace").decode("latin-1").replace("#", "%23")
    page = browser._ask(method, f"{path}?{quote(query, safe='=&%+')}", body, headers)
    assert page.status in (200, 303, 400, 404, 405)
    assert STAND.sessions.rows == {}
    assert not {"begin_direct", "approve", "deny", "consent_wanted"} & set(STAND.authorizing.verbs)
