"""What pages say that can be looked up: commands in code, and names of metrics."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from bridge.cli.main import cli
from tests.markdown import ROOT, blocks

PAGES = tuple(
    sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "policies/README.md", ROOT / "spire-dev/README.md"])
)
RULES = tuple(sorted(ROOT.glob("monitoring/*.yml")))
_FENCED = re.compile(r"^[ ]*```.*?^[ ]*```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
# Not `my-bridge`, `./bridge` or `bridge.toml`, and not the service as a subject ("the bridge verifies").
_COMMAND = re.compile(r"(?<![\w/.-])bridge (?=[a-z-])(.*)")
_ENDS = re.compile(r"[|&;<>()]+|#.*|\.\.\.|…|\$\{@.*")
# `{{ $labels.trust_domain }}` of an alert is one word; what stands in brackets may be left out.
_LABEL, _OPTIONAL = re.compile(r"\{\{.*?\}\}"), re.compile(r"\[(-.*?)\]")


@dataclass(frozen=True, slots=True)
class Written:
    """One `bridge ...` of a page: what stands behind the word, and on which page."""

    page: str
    words: str


def written_commands() -> Iterator[Written]:
    """Every command in a fenced block that is no TOML, in a code span, and in an alert's description."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = str(page.relative_to(ROOT))
        # Blocks within lists are indented; those at the margin are what `tests.markdown` reads.
        assert all(block.text for block in blocks(page)), f"{name}: an empty block"
        for fenced in _FENCED.findall(text):
            if "```toml" not in fenced:
                yield from _in_code(name, fenced)
        for span in _INLINE.findall(_FENCED.sub("", text)):
            yield from _in_code(name, span.replace("\n", " "))
    for rules in RULES:
        for span in _INLINE.findall(rules.read_text(encoding="utf-8")):
            yield from _in_code(str(rules.relative_to(ROOT)), span)


def _in_code(page: str, code: str) -> Iterator[Written]:
    for line in code.replace("\\\n", " ").splitlines():
        rest = _COMMAND.search(line)
        while rest is not None:
            yield Written(page, rest[1])
            rest = _COMMAND.search(rest[1])


def words_of(text: str) -> list[str]:
    """The words up to where the shell begins something else; `…` and `...` stand for more of them."""
    lexer = shlex.shlex(_OPTIONAL.sub(r"\1", _LABEL.sub("NAME", text)), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    found: list[str] = []
    try:
        for word in lexer:
            if _ENDS.fullmatch(word):
                break
            found.append(word)
    except ValueError:
        # A quotation mark that belongs to what is around the command: `$(... "bridge token")`.
        found = text.split("|")[0].replace('"', " ").replace("'", " ").split()
    return found


def fault_of(text: str) -> str | None:
    """Why there is no such command or option, in words; None when there is."""
    command: click.Command = cli
    context = click.Context(cli, info_name="bridge")
    words = words_of(text)
    given = 0
    while words:
        word = words.pop(0)
        if word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            option = _option(command, name)
            if option is None:
                return f"{command.name} has no {name}"
            if not option.is_flag and name not in ("-h", "--help"):
                value = value if equals else words.pop(0) if words else ""
                if isinstance(option.type, click.Choice) and value not in (*option.type.choices, value.upper()):
                    return f"{name} is one of {', '.join(map(str, option.type.choices))}, not {value}"
        elif isinstance(command, click.Group):
            below = command.get_command(context, word)
            if below is None:
                return f"{command.name} has no {word}"
            command = below
        else:
            given += 1
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    if all(argument.nargs == 1 for argument in arguments) and given > len(arguments):
        return f"{command.name} takes {len(arguments)} arguments, not {given}"
    return None


def _option(command: click.Command, name: str) -> click.Option | None:
    if name in ("-h", "--help"):
        return click.Option(["-h", "--help"], is_flag=True)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and name in (*parameter.opts, *parameter.secondary_opts):
            return parameter
    return None


def written_metrics(page: Path) -> set[str]:
    """Names of metrics on a page, without what a histogram or a series of it adds."""
    return set(re.findall(r"\bbridge_[a-z_]+[a-z]\b", page.read_text(encoding="utf-8")))
