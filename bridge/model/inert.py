"""Text of somebody else's, so that whatever shows it obeys none of it: no cursor moves, no line breaks, no direction
turns. Escaping for a language (HTML, JSON) is another matter, and not done here."""

from __future__ import annotations


def inert(text: str) -> str:
    """`text` on one line, with every character that prints nothing spelled out (`\\x1b`, `\\u202e`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
