"""A client's row that nobody here writes so is our trouble (503), and never a defect (500) or the client's fault."""

from __future__ import annotations

import pytest

from bridge.model.errors import Unavailable
from bridge.store.rows import CLIENT_FIELDS, client_of, client_row, record_of
from tests.contract.records import NOW, spiffe

RECORD = record_of(spiffe("spiffe://example.org/ns/web/sa/api"), epoch=1, now=NOW, expires_at=None)
ROW = client_row(RECORD)[: len(CLIENT_FIELDS)]


def test_what_was_written_is_read() -> None:
    assert client_of(ROW) == RECORD


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", "of another release"),
        ("state", ""),
        ("metadata", "{"),
        ("metadata", "[1]"),
        ("metadata", "[" * 100_000),
        ("provenance", "5"),
        ("provenance", '{"evidence":"x"}'),
        ("authorities", "x"),
    ],
)
def test_a_damaged_row_is_our_trouble_t_53(column: str, value: str) -> None:
    row = list(ROW)
    row[CLIENT_FIELDS.index(column)] = value
    with pytest.raises(Unavailable, match="the database is damaged"):
        client_of(tuple(row))
