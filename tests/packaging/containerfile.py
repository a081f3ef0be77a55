"""A Containerfile as an engine reads it, as far as that goes without one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Instruction:
    """One instruction, its line continuations joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words; of the exec form those of its JSON array."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return self.text.split()

    @property
    def sources(self) -> list[str]:
        """What a COPY takes out of the build's context; nothing for one from another stage."""
        if self.name != "COPY" or self.text.startswith("--from="):
            return []
        return self.words[:-1]


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next."""

    base: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """Its instructions of this name, in their order."""
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        """The only one of this name."""
        (found,) = self.all(name)
        return found

    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        return dict(pair.split("=", 1) for each in self.all("ENV") for pair in each.words)


@dataclass(frozen=True)
class Containerfile:
    """The arguments before the first stage, with their defaults, and the stages."""

    arguments: dict[str, str]
    stages: list[Stage]


def read(path: Path) -> Containerfile:
    """Raises: ValueError for a line that is no instruction."""
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    made = Containerfile({}, [])
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line.strip():
            continue
        found = re.fullmatch(r"([A-Z]+)\s+(.+)", line)
        if found is None:
            raise ValueError(f"no instruction: {line}")
        _take(made, Instruction(found[1], found[2].strip()))
    return made


def _take(made: Containerfile, instruction: Instruction) -> None:
    if instruction.name == "FROM":
        words = instruction.words
        made.stages.append(Stage(words[0], words[2] if len(words) == 3 and words[1] == "AS" else None))
    elif made.stages:
        made.stages[-1].instructions.append(instruction)
    elif instruction.name == "ARG":
        name, _, default = instruction.text.partition("=")
        made.arguments[name] = default
    else:
        raise ValueError(f"{instruction.name} before the first FROM")


def let_through(rules: Path, path: str) -> bool:
    """Whether an ignore file lets this path (relative, of a file) into the build's context: the last rule that matches
    it, or one of the folders above it, decides."""
    given = True
    parents = [PurePosixPath(path), *PurePosixPath(path).parents][:-1]
    for line in rules.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        if any(_matches(str(parent), pattern) for parent in parents):
            given = line.startswith("!")
    return given


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(path.rpartition("/")[2], pattern.removeprefix("**/"))
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)
