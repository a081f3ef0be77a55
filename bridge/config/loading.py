"""`bridge.toml` and the environment -> checked settings, or every fault at once with file, line and key."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bridge.config.checks import cross_checks
from bridge.config.settings import Settings
from bridge.files.toml_lines import line_of, line_of_syntax_error
from bridge.model.errors import StartRefused

# What Kubernetes puts into the environment of every pod beside a Service that is called `bridge`.
_SERVICE_LINK = re.compile(r"BRIDGE_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

_PATH_KEYS: tuple[tuple[str, ...], ...] = (
    ("tls", "certificate"),
    ("tls", "private_key"),
    ("policies", "directory"),
    ("keys", "seal_file"),
)
_TRUST_DOMAIN_PATHS = ("path", "ca_file", "bootstrap")


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check a configuration file.

    Raises: StartRefused with every fault, each with file, line where known, key, and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StartRefused([f"{path}: cannot be read ({error.strerror}); `bridge init` writes one"]) from error
    except UnicodeDecodeError as error:
        raise StartRefused([f"{path}: is not UTF-8"]) from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = line_of_syntax_error(error)
        raise StartRefused([f"{path}:{line or '?'}: not TOML: {error}"]) from error
    where = _Where(path, text)
    faults = _apply_environment(raw, os.environ if environment is None else environment)
    # Not resolved: the file may be a link that is swapped, and its neighbours are where it is found.
    _make_paths_absolute(raw, path.absolute().parent)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults += [where.say(e["loc"], _words(e)) for e in error.errors(include_url=False)]
        raise StartRefused(faults) from error
    faults += [where.say(key, words) for key, words in cross_checks(settings)]
    if faults:
        raise StartRefused(faults)
    return settings


class _Where:
    """Puts file and line before a fault."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def say(self, key: tuple[str | int, ...], words: str) -> str:
        line = line_of(self._text, key)
        return f"{self._path}:{line if line else '-'}: {'.'.join(str(part) for part in key)}: {words}"


def _words(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "required, and not there"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")


def _apply_environment(raw: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Lay `BRIDGE_<SECTION>__<KEY>` over the file's values. A value is read as TOML where it is TOML
    (`4`, `true`, `["a"]`), else as a string."""
    faults = []
    for name, text in sorted(environment.items()):
        if not name.startswith("BRIDGE_") or name == "BRIDGE_CONFIG" or _SERVICE_LINK.fullmatch(name):
            continue
        keys = name.removeprefix("BRIDGE_").lower().split("__")
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table: Any = raw
        for key in keys[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else {}
        if not isinstance(table, dict) or not all(keys):
            faults.append(f"environment: {name}: names no key of the configuration")
            continue
        table[keys[-1]] = value
    return faults


def _make_paths_absolute(raw: dict[str, Any], folder: Path) -> None:
    for section, key in _PATH_KEYS:
        table = raw.get(section)
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = str(folder / table[key])
    keys = raw.setdefault("keys", {})
    if isinstance(keys, dict):
        keys.setdefault("seal_file", str(folder / "secrets/seal.key"))
    domains = raw.get("trust_domains")
    for table in domains.values() if isinstance(domains, dict) else ():
        for key in _TRUST_DOMAIN_PATHS:
            if isinstance(table, dict) and isinstance(table.get(key), str):
                table[key] = str(folder / table[key])
    store = raw.setdefault("store", {})
    if isinstance(store, dict):
        url = store.setdefault("url", "sqlite:///bridge.db")
        if isinstance(url, str) and url.startswith("sqlite:///"):
            store["url"] = "sqlite:///" + str(folder / url.removeprefix("sqlite:///"))
