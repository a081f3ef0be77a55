"""The section of a trust domain that `bridge trust add` puts behind what `bridge.toml` holds."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import Failure, configuration_of
from bridge.cli.output import printable
from bridge.model.errors import StartRefused
from bridge.model.spiffe_id import TrustDomain

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.files.as_read import FileAsRead

_NOTHING = "nothing was written"


@dataclass(frozen=True, slots=True)
class Section:
    """What is said of one trust domain, key by key; all values are strings."""

    trust_domain: TrustDomain
    values: Mapping[str, str]

    def toml(self) -> str:
        """As it is written. A trust domain's name needs no escapes; JSON's strings are TOML's."""
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in self.values.items()]
        return f'[trust_domains."{self.trust_domain}"]\n' + "".join(lines)

    def with_values(self, **values: str) -> Section:
        """The same with some values put in place of others."""
        return replace(self, values={**self.values, **values})


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration file as it is: `raw` byte for byte, and as the loader read it."""

    as_read: FileAsRead
    raw: bytes
    settings: Settings

    @classmethod
    def read(cls, path: Path) -> Configuration:
        """Raises: ConfigurationRefused when a service would not start on it; Failure when it changes just now."""
        settings, as_read = configuration_of(path)
        raw = as_read.path.read_bytes()
        if _as_loaded(raw) != as_read.text:
            raise Failure(f"{printable(path)} is being changed; {_NOTHING}: run it again")
        return cls(as_read, raw, settings)

    @property
    def folder(self) -> Path:
        """Where its relative paths start."""
        return self.as_read.path.parent

    def written(self, path: Path) -> str:
        """A path as it is best written there: relative where it is below the folder."""
        whole = path.absolute()
        return str(whole.relative_to(self.folder) if whole.is_relative_to(self.folder) else whole)

    def require_new(self, trust_domain: TrustDomain) -> None:
        """Raises: Failure when there is a section of this trust domain, in the file or the environment."""
        if trust_domain.name in self.settings.trust_domains:
            raise Failure(
                f"{trust_domain} is configured already; {_NOTHING}. See `bridge trust show {trust_domain}`, and change "
                f'[trust_domains."{trust_domain}"] of {printable(self.as_read.named)} by hand'
            )

    def addition(self, section: Section) -> bytes:
        """What is to stand behind the file's last byte, in its own kind of lines."""
        newline = "\r\n" if b"\r\n" in self.raw else "\n"
        break_line = "" if not self.raw or self.raw.endswith(b"\n") else "\n"
        return f"{break_line}\n{section.toml()}".replace("\n", newline).encode()

    def settings_with(self, section: Section) -> Settings:
        """What a service would start with if the section stood in the file: the loader's own checks.

        Raises: UsageError with what is wrong with the section; Failure when a section cannot stand there.
        """
        from bridge.config import settings_from

        if any(ord(c) < 0x20 or ord(c) == 0x7F for value in section.values.values() for c in value):
            raise click.UsageError(f"a value holds a control character; {_NOTHING}")
        try:
            text = _as_loaded(self.raw + self.addition(section))
        except UnicodeError as error:
            raise click.UsageError(f"a value is not text that TOML can hold; {_NOTHING}") from error
        self._require_only_more(text, section)
        try:
            return settings_from(replace(self.as_read, text=text))
        except StartRefused as error:
            at = f"trust_domains.{section.trust_domain}."
            faults = [fault.partition(at)[2] or fault for fault in error.faults]
            raise click.UsageError(f"{'; '.join(map(printable, faults))}; {_NOTHING}") from error

    def _require_only_more(self, text: str, section: Section) -> None:
        """The file must come to mean what it meant and the section beside it. It does not where trust domains are
        written otherwise than in sections of their own."""
        before = tomllib.loads(self.as_read.text)
        wanted = {**before.get("trust_domains", {}), section.trust_domain.name: dict(section.values)}
        try:
            after = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            after = {}
        if after != {**before, "trust_domains": wanted}:
            raise Failure(
                f"{printable(self.as_read.named)}: no section can be put at its end; {_NOTHING}. "
                f"Put this where it belongs:\n{section.toml()}"
            )


def _as_loaded(raw: bytes) -> str:
    """As the loader reads it: any line end is one. What is not UTF-8, no loader took."""
    return raw.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
