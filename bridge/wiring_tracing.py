"""How traces are put together from the configuration: what begins them, and what sends them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.config import Settings
from bridge.config.settings import TracingSettings
from bridge.fetch.collecting import TraceCollector
from bridge.model.errors import StartRefused
from bridge.observe.tracing import Tracing

if TYPE_CHECKING:
    from bridge.observe.trace_export import TraceExport

EXTRA = "pip install 'spiffe-oauth-bridge[otel]'"
_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.common.trace_encoder")


@dataclass(frozen=True, slots=True)
class Traces:
    """What begins traces of one worker, and what sends them; the latter is not started."""

    tracing: Tracing
    export: TraceExport


def open_collector(tracing: TracingSettings) -> TraceCollector:
    """How spans go out; nothing is sent. Raises: StartRefused."""
    try:
        headers_file = None if tracing.headers_file is None else Path(tracing.headers_file)
        return TraceCollector(tracing.endpoint, ca_file=tracing.ca_file, headers_file=headers_file)
    except OSError as error:
        raise StartRefused([f"tracing.ca_file: {tracing.ca_file}: holds no certificate that can be read"]) from error


def require_traceable(tracing: TracingSettings) -> None:
    """That spans could be made and sent, before any worker starts; nothing is imported for it that measures. Raises:
    StartRefused, also when the extra is not installed."""
    for name in _NEEDED:
        try:
            found = find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise _not_installed(name)
    open_collector(tracing)


def open_traces(settings: Settings) -> Traces | None:
    """None without `[tracing]`: then nothing of OpenTelemetry is imported. Raises: StartRefused, also when the extra is
    not installed."""
    if settings.tracing is None:
        return None
    try:
        # Here, because most have neither the section nor the extra.
        from bridge.observe.trace_export import TraceExport
    except ImportError as error:
        raise _not_installed(error.name or "opentelemetry") from error
    collector = open_collector(settings.tracing)
    export = TraceExport(collector.send, service_name=settings.tracing.service_name, new_id=secrets.token_hex)
    tracing = Tracing(
        export.keep,
        ratio=settings.tracing.ratio,
        chance=secrets.SystemRandom().random,
        new_id=secrets.token_hex,
        trust_proxies=settings.tracing.trust_proxies,
    )
    return Traces(tracing, export)


def _not_installed(name: str) -> StartRefused:
    words = f"[tracing] needs OpenTelemetry, of which {name} is not installed: {EXTRA}; or take the section out"
    return StartRefused([words])
