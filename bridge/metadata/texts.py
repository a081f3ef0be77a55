"""Texts in metadata: what may be shown to people, lists of words for programs, scopes, language tags."""

from __future__ import annotations

import re
import unicodedata

from bridge.model.inert import BLANK_LETTERS

MAX_SCOPE_LENGTH = 4096
MAX_LANGUAGE_TAG_LENGTH = 64

# Control, format (bidirectional overrides and zero-width characters among them), surrogate, private use,
# unassigned, line and paragraph separators. Variation selectors are marks and stay, emoji need them.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_WORD = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
# RFC 5646 section 2.1: a language with extended ones, script, region, variants, extensions, private use; or
# private use alone. The irregular tags of the time before are not taken.
_LANGUAGE_TAG = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"
    r"(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
    r"(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+",
    re.IGNORECASE | re.ASCII,
)


class UnfitValue(ValueError):
    """A member's value is not of the member's type or form. The message completes "<member>: ..." and never
    quotes the value."""


def text(value: object, at_most: int) -> str:
    """A text of one line for people to read, of 1 to `at_most` characters.

    Raises: UnfitValue for control, format and invisible characters, for a space at an end, and for another type
    (T-43). Not checked: whether two names look alike by letters of different scripts, and markup: whoever puts
    the text into a page escapes it.
    """
    if not isinstance(value, str):
        raise UnfitValue("not a string")
    if not 1 <= len(value) <= at_most:
        raise UnfitValue(f"empty or longer than {at_most} characters")
    if value.isascii() and value.isprintable():
        fit = True
    else:
        fit = not any(unicodedata.category(sign) in _REFUSED_CATEGORIES or sign in BLANK_LETTERS for sign in value)
    if not fit:
        raise UnfitValue("has a control, format or invisible character")
    if value != value.strip():
        raise UnfitValue("starts or ends with a space")
    return value


def word(value: object, at_most: int = 128) -> str:
    """Printable ASCII for programs, single spaces between words (`code`, `code id_token`). Raises: UnfitValue."""
    if not isinstance(value, str):
        raise UnfitValue("not a string")
    if len(value) > at_most or _WORD.fullmatch(value) is None:
        raise UnfitValue(f"not printable ASCII of 1 to {at_most} characters")
    return value


def scope(value: object) -> str:
    """Scopes, one space between two, each kept once and in order. Raises: UnfitValue. Spec: RFC 6749 section 3.3."""
    if not isinstance(value, str):
        raise UnfitValue("not a string")
    if len(value) > MAX_SCOPE_LENGTH or _SCOPE.fullmatch(value) is None:
        raise UnfitValue(f"not scopes with one space between two, of at most {MAX_SCOPE_LENGTH} characters")
    return " ".join(dict.fromkeys(value.split(" ")))


def is_language_tag(tag: str) -> bool:
    """Whether the tag is well formed (RFC 5646 section 2.2.9). Not checked: that its parts are registered."""
    return len(tag) <= MAX_LANGUAGE_TAG_LENGTH and _LANGUAGE_TAG.fullmatch(tag) is not None
