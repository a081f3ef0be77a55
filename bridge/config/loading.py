"""`bridge.toml` and the environment -> checked settings, or every fault at once with file, line and key."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bridge.config.checks import cross_checks, serving_faults
from bridge.config.settings import Settings
from bridge.config.values import UNIX
from bridge.files.as_read import FileAsRead, read_text_file
from bridge.files.toml_lines import line_of, line_of_syntax_error
from bridge.model.errors import StartRefused

# What Kubernetes puts into the environment of every pod beside a Service that is called `bridge`.
_SERVICE_LINK = re.compile(r"BRIDGE_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

_PATH_KEYS: tuple[tuple[str, ...], ...] = (
    ("tls", "certificate"),
    ("tls", "private_key"),
    ("policies", "directory"),
    ("keys", "seal_file"),
    ("fetch", "ca_file"),
    ("users", "client_secret_file"),
    ("webhook", "secret_file"),
    ("webhook", "ca_file"),
    ("tracing", "headers_file"),
    ("tracing", "ca_file"),
)
_Key = tuple[str | int, ...]
# Sections of one table per name, and which of its keys are paths.
_NAMED_PATHS = {"trust_domains": ("path", "ca_file", "bootstrap"), "statement_issuers": ("jwks_file",)}


def load_settings(path: Path, environment: Mapping[str, str] | None = None, *, serving: bool = False) -> Settings:
    """Read and check a configuration file. With `serving` the files that a start needs must be there too.

    Raises: StartRefused with every fault, each with file, line where known, key, and what to do.
    """
    return settings_from(read_configuration(path), environment, serving=serving)


def read_configuration(path: Path) -> FileAsRead:
    """A configuration file, not looked into. Raises: StartRefused when it cannot be read."""
    try:
        return read_text_file(path)
    except OSError as error:
        raise StartRefused([f"{path}: cannot be read ({error.strerror}); `bridge init` writes one"]) from error
    except UnicodeDecodeError as error:
        raise StartRefused([f"{path}: is not UTF-8"]) from error


def settings_from(
    configuration: FileAsRead, environment: Mapping[str, str] | None = None, *, serving: bool = False
) -> Settings:
    """The settings that a configuration file held when it was read. Raises: as `load_settings`."""
    path, text = configuration.named, configuration.text
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = line_of_syntax_error(error)
        raise StartRefused([f"{path}:{line or '?'}: not TOML: {error}"]) from error
    except (ValueError, RecursionError) as error:
        # An integer with thousands of digits, or brackets without end: TOML perhaps, a configuration never.
        raise StartRefused([f"{path}:?: not TOML that can be read: {error}"]) from error
    faults, origins = _apply_environment(raw, os.environ if environment is None else environment)
    where = _Where(path, text, origins)
    faults += [where.say(key, "holds a control character, a NUL perhaps") for key in _odd_strings(raw)]
    _make_paths_absolute(raw, configuration.path.parent)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults += [where.say(e["loc"], _words(e)) for e in error.errors(include_url=False)]
        raise StartRefused(faults) from error
    found = cross_checks(settings) + (serving_faults(settings) if serving else [])
    faults += [where.say(key, words) for key, words in found]
    if faults:
        raise StartRefused(faults)
    return settings


class _Where:
    """Puts the origin before a fault: file and line, or the name in the environment that set the key."""

    def __init__(self, path: Path, text: str, origins: Mapping[_Key, str]) -> None:
        self._path, self._text, self._origins = path, text, origins

    def say(self, key: tuple[str | int, ...], words: str) -> str:
        """One fault, as people read it."""
        for length in range(len(key), 0, -1):
            name = self._origins.get(key[:length])
            if name is not None:
                inside = "".join(f"{part}: " for part in key[length:])
                return f"environment: {name}: {inside}{words}{self._others(key, words)}"
        line = line_of(self._text, key)
        said = f"{'.'.join(str(part) for part in key)}: {words}{self._others(key, words)}"
        beside = [name for at, name in self._origins.items() if line is None and at[0] == key[0]]
        return f"environment: {beside[0]}: {said}" if beside else f"{self._path}:{line if line else '-'}: {said}"

    def _others(self, key: tuple[str | int, ...], words: str) -> str:
        """Names in the environment that set another key which the fault speaks of."""
        spoken = [
            name
            for at, name in self._origins.items()
            if at != key and re.search(rf"(?<!\w){re.escape(str(at[-1]))}(?!\w)|\[{re.escape(str(at[0]))}\]", words)
        ]
        return f" (set by {', '.join(spoken)} in the environment)" if spoken else ""


def _words(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        name = error["loc"][-1]
        # Whoever adds a line at the end of the file adds it to the last section.
        astray = len(error["loc"]) > 1 and name in Settings.model_fields and not isinstance(error["input"], dict | list)
        return f"unknown key; {name} belongs above the first [section] of the file" if astray else "unknown key"
    if error["type"] == "missing":
        return "required, and not there"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")


def _apply_environment(raw: dict[str, Any], environment: Mapping[str, str]) -> tuple[list[str], dict[_Key, str]]:
    """Lay `BRIDGE_<SECTION>__<KEY>` over the file's values: faults, and which name set which key. A value is
    read as TOML where it is TOML (`4`, `true`, `["a"]`), else as a string."""
    faults: list[str] = []
    origins: dict[_Key, str] = {}
    for name, text in sorted(environment.items()):
        if not name.startswith("BRIDGE_") or name == "BRIDGE_CONFIG" or _SERVICE_LINK.fullmatch(name):
            continue
        keys = name.removeprefix("BRIDGE_").lower().split("__")
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text
        table: Any = raw
        for key in keys[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else {}
        if not isinstance(table, dict) or not all(keys):
            faults.append(f"environment: {name}: names no key of the configuration")
            continue
        table[keys[-1]] = value
        origins[tuple(keys)] = name
    return faults, origins


def _make_paths_absolute(raw: dict[str, Any], folder: Path) -> None:
    for section, key in _PATH_KEYS:
        table = raw.get(section)
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = str(folder / table[key])
    keys = raw.setdefault("keys", {})
    if isinstance(keys, dict):
        keys.setdefault("seal_file", str(folder / "secrets/seal.key"))
    for section, paths in _NAMED_PATHS.items():
        named = raw.get(section)
        for table in named.values() if isinstance(named, dict) else ():
            for key in paths:
                if isinstance(table, dict) and isinstance(table.get(key), str):
                    table[key] = str(folder / table[key])
    proxies = raw.get("trusted_proxies")
    for table in proxies if isinstance(proxies, list) else ():
        if isinstance(table, dict) and isinstance(table.get("unix"), str) and table["unix"]:
            table["unix"] = str(folder / table["unix"].removeprefix("unix:"))
    console = raw.get("console")
    if isinstance(console, dict) and isinstance(console.get("listen"), str) and console["listen"].startswith(UNIX):
        # What is no path stays as it is, to be told of.
        path = console["listen"].removeprefix(UNIX)
        console["listen"] = UNIX + (str(folder / path) if path else "")
    store = raw.setdefault("store", {})
    if isinstance(store, dict):
        url = store.setdefault("url", "sqlite:///bridge.db")
        if isinstance(url, str) and url.startswith("sqlite:///"):
            store["url"] = "sqlite:///" + str(folder / url.removeprefix("sqlite:///"))


def _odd_strings(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a string holds a control character: no path, URL or name has one, and the system's calls
    take a NUL for the end."""
    if isinstance(value, str):
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
            yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _odd_strings(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _odd_strings(inner, (*path, number))
