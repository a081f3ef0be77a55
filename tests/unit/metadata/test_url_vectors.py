"""The web's own URL vectors against our reading: nothing is accepted that a browser takes for another place (T-7)."""

from __future__ import annotations

from typing import Any

from bridge.metadata.redirect_uris import NATIVE, check
from bridge.metadata.uris import UnfitUri, read_web
from bridge.model.errors import InvalidRedirectUri
from tests.vectors import load

VECTORS: list[dict[str, Any]] = [entry for entry in load("wpt-urltestdata.json") if isinstance(entry, dict)]


def secured(uri: str) -> str:
    """The same string with https: most vectors are http, which would be refused for that alone."""
    return "https" + uri[4:] if uri.startswith("http:") else uri


def accepted(uri: str) -> bool:
    try:
        check(uri, application_type=NATIVE)
    except InvalidRedirectUri:
        return False
    return True


def test_the_vectors_are_all_there() -> None:
    assert len(VECTORS) > 850
    assert sum("failure" in vector for vector in VECTORS) > 250


def test_what_a_browser_refuses_is_refused() -> None:
    bad = [vector["input"] for vector in VECTORS if "failure" in vector]
    assert [uri for uri in (*bad, *map(secured, bad)) if accepted(uri)] == []


def test_what_is_accepted_is_the_host_a_browser_goes_to() -> None:
    seen = 0
    for vector in VECTORS:
        if "failure" in vector:
            continue
        for uri in {vector["input"], secured(vector["input"])}:
            if not accepted(uri):
                continue
            seen += 1
            assert (vector["username"], vector["password"], vector["hash"]) == ("", "", ""), uri
            assert uri.partition("://")[2].startswith(vector["hostname"]), uri
            if uri.startswith("http"):
                web = read_web(uri)
                assert web.host == vector["hostname"], uri
                assert web.port is None or vector["port"] in (str(web.port), ""), uri
    assert seen > 20


def test_a_browsers_own_spelling_is_mostly_accepted() -> None:
    """The positive control: a plain absolute https URL, as a browser writes it, is what is asked for here."""
    plain = {
        secured(vector["href"]): vector
        for vector in VECTORS
        if vector.get("protocol") in ("http:", "https:")
        and not vector["username"] + vector["password"] + vector["hash"]
    }
    refused = []
    for uri, vector in plain.items():
        try:
            assert read_web(uri).host == vector["hostname"]
        except UnfitUri as fault:
            refused.append((uri, str(fault)))
    # Ports 0, empty fragments, half encodings and encoded controls, brackets in paths, hosts that are no names.
    assert len(plain) > 120
    assert len(refused) < len(plain) / 5, refused
