"""Each recipe of the cookbook loads without a finding, does what its cases say, and prints what it shows."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.policy.vocabulary import VOCABULARIES
from tests.markdown import ROOT, Block, blocks, commands

COOKBOOK = ROOT / "docs/cookbook.md"
GROUND = "The ground"
# What a configuration has whatever the recipes add to it. Nothing in it is read but by the check of policies.
CONFIGURATION = """
issuer = "https://as.example.org:8443"
listen = "127.0.0.1:8443"
[tls]
certificate = "tls/server.pem"
private_key = "tls/server.key"
[policies]
directory = "policies"
[trust_domains."example.org"]
source = "file"
path = "bundles/example.org.json"
"""

PAGE = blocks(COOKBOOK)
RECIPES = sorted(
    {block.heading for block in PAGE} - {GROUND, "Policy cookbook"}, key=lambda name: int(name.split(".")[0])
)


def name_and_text(block: Block) -> tuple[str, str]:
    """The file that the first line of a block names, and what goes into it."""
    first, _, rest = block.text.partition("\n")
    assert first.startswith("# "), f"line {block.line}: the first line names the file"
    return first.removeprefix("# "), rest


def ground() -> dict[str, str]:
    return dict(name_and_text(block) for block in PAGE if block.heading == GROUND and block.language == "toml")


def write(recipe: str, folder: Path) -> None:
    """The files of a recipe, on the ground that all recipes stand on."""
    written: defaultdict[str, str] = defaultdict(str)
    for block in PAGE:
        if block.heading == recipe and block.language == "toml":
            name, text = name_and_text(block)
            written[name] += f"\n{text}" if written[name] else text
    base = ground()
    for name, text in written.items():
        within = f"policies/{name.partition('/')[2]}"
        if within in base and "version = 1" not in text.splitlines():
            written[name] = f"{base[within]}\n{text}"
    for place in {name.partition("/")[0] for name in written} | {"policies"}:
        if place != "bridge.toml":
            written.setdefault(f"{place}/catalogue.toml", base["policies/catalogue.toml"])
    written["bridge.toml"] = CONFIGURATION + written["bridge.toml"]
    for name, text in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_there_are_recipes_and_their_numbers_follow_each_other() -> None:
    assert [int(recipe.split(".")[0]) for recipe in RECIPES] == list(range(1, len(RECIPES) + 1))
    assert len(RECIPES) >= 20


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_loads_without_a_finding_and_its_cases_pass(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the configuration that it shows, too: a rule about an issuer or a trust domain that nobody configured is a
    finding."""
    write(recipe, tmp_path)
    monkeypatch.chdir(tmp_path)
    for folder in [path.name for path in tmp_path.iterdir() if path.is_dir()]:
        assert main(["policy", "check", "--policies", folder]) == 0, capsys.readouterr()
    for command in (["policy", "check"], ["policy", "test"], ["policy", "fmt", "--check"]):
        assert main(command) == 0, capsys.readouterr()


SHOWN = [
    pytest.param(recipe, command.text, command.shown, id=f"{recipe}: line {command.line}")
    for recipe in RECIPES
    for block in PAGE
    if block.heading == recipe and block.language == "console"
    for command in commands(block)
]


@pytest.mark.parametrize(("recipe", "command", "shown"), SHOWN)
def test_a_command_prints_what_the_page_shows(
    recipe: str,
    command: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(recipe, tmp_path)
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(command)
    assert program == "bridge"
    main(words)
    printed = capsys.readouterr()
    assert printed.out == shown, printed.err


def test_every_block_of_a_recipe_is_one_that_runs() -> None:
    """A block of another kind would only look as if it had been tried."""
    assert {block.language for block in PAGE if block.heading in RECIPES} == {"toml", "console"}


def test_no_two_recipes_call_different_rules_by_one_name() -> None:
    """So that recipes can be put together in one folder; the same rule may stand in several."""
    texts: defaultdict[str, set[str]] = defaultdict(set)
    for block in PAGE:
        if block.heading in RECIPES and block.language == "toml":
            name, text = name_and_text(block)
            for rule in text.split("[[rule]]\n")[1:] if name.startswith("policies/") else ():
                texts[rule.splitlines()[0]].add(rule.strip())
    assert {name for name, variants in texts.items() if len(variants) > 1} == set()


def test_every_kind_of_client_and_every_effect_has_a_recipe() -> None:
    named = Counter(name_and_text(block)[0] for block in PAGE if block.language == "toml")
    assert named.keys() >= {f"policies/{vocabulary.file or 'example.org.toml'}" for vocabulary in VOCABULARIES.values()}
    everything = "".join(block.text for block in PAGE)
    assert all(f'effect = "{effect}"' in everything for effect in ("allow", "deny", "ask"))
