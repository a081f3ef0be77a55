"""The structured log: one JSON object a line on standard error.

Nothing secret is ever passed in: callers log reasons, names and hashes, not what was presented. Every
line names its process, since several workers say the same things of the same files.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from bridge.observe import tracing


def _name_process(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["pid"] = os.getpid()
    return event


def _name_trace(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Lines of a request that is traced lead to its trace."""
    trace = tracing.current()
    if trace is not None:
        event["trace_id"], event["span_id"] = trace.trace_id, trace.span_id
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _name_process,
    _name_trace,
    structlog.processors.format_exc_info,
]


def line_format(*, plain: bool = False) -> logging.Formatter:
    """What makes one line of a record. In JSON every control character of whatever was passed in is escaped, so
    that no caller can end a line and begin one of its own (T-49)."""
    renderer: Any = structlog.dev.ConsoleRenderer(colors=False) if plain else structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )


def configure(*, level: int = logging.INFO, plain: bool = False) -> None:
    """Send every log record of the process, the libraries' too, through one renderer.

    `plain` renders for people (the demo, a terminal) instead of JSON.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(line_format(plain=plain))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose calls take an event name and fields."""
    return structlog.stdlib.get_logger(name)
