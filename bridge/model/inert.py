"""Text of somebody else's, so that whatever shows it obeys none of it: no cursor moves, no line breaks, no direction
turns. Escaping for a language (HTML, JSON) is another matter, and not done here."""

from __future__ import annotations

# Letters and marks that show nothing, though Unicode does not file them under format characters: with them two names
# look alike and are not.
BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def inert(text: str) -> str:
    """`text` on one line, with every character that prints nothing spelled out (`\\x1b`, `\\u202e`, `\\u3164`)."""
    if text.isprintable() and (text.isascii() or BLANK_LETTERS.isdisjoint(text)):
        return text
    return "".join(sign if shows(sign) else sign.encode("unicode_escape").decode() for sign in text)


def shows(sign: str) -> bool:
    """Whether people see this one character, or know it for a space."""
    return sign.isprintable() and sign not in BLANK_LETTERS


def in_short(text: str, at_most: int = 200) -> str:
    """The beginning of a text that has a place among others: whoever asks for sixteen thousand characters of scopes
    must not make a list unreadable."""
    return text if len(text) <= at_most else f"{text[:at_most]}... ({len(text)} characters)"
