"""What is said of one reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.model.reasons import Reason


class Who(StrEnum):
    """Whose it is to mend."""

    CLIENT = "client"
    OPERATOR = "operator"
    SPIRE = "SPIRE's operator"
    USER = "user"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reason means, whose it is to mend, and what to change first. `setting` is the name of what is changed,
    as SPIRE, `bridge.toml` or a policy file spells it; empty where it is no setting."""

    meaning: str
    fix: str
    who: Who
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Reasons of one kind, in the order of the checks where they have one."""

    title: str
    entries: Mapping[Reason, Advice]
