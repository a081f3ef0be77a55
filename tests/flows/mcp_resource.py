"""The lab's protected resource in front of a service, and the MCP SDK's own client session at it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.lab.authority import wall_clock
from bridge.lab.resource import ProtectedResource, ResourceOptions
from bridge.lab.resource_tools import SCOPES


@contextmanager
def mcp_resource(issuer: str, ca: Path, **options: Any) -> Iterator[ProtectedResource]:
    """Serve it on a free port. The issuer need not be up before the first token comes."""
    trust = ssl.create_default_context(cafile=str(ca))
    with ProtectedResource(ResourceOptions(issuer, trust, **options), clock=wall_clock) as resource:
        yield resource


def catalogue_entry(resource: ProtectedResource) -> str:
    """What the catalogue says of it."""
    scopes = ", ".join(f'"{scope}" = "{scope}"' for scope in SCOPES)
    return f'\n[resources."{resource.identifier}"]\ndescription = "The tools"\nscopes = {{ {scopes} }}\n'


def grant(resource: ProtectedResource, more: str = 'bind = "if-present"') -> str:
    """A rule's `grant` of all of it."""
    return f'grant = {{ resources = ["{resource.identifier}"], scopes = ["tools.list", "tools.call"], {more} }}\n'


def whoami(url: str, provider: Any, context: ssl.SSLContext) -> dict[str, Any]:
    """What the resource knows about the caller after the SDK's session called its tool; all of it is the SDK's."""
    import httpx2
    from mcp.client.session import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def call() -> dict[str, Any]:
        async with (
            httpx2.AsyncClient(auth=provider, verify=context, trust_env=False) as http,
            streamable_http_client(url, http_client=http) as streams,
            ClientSession(*streams) as session,
        ):
            await session.initialize()
            result = await session.call_tool("whoami", {})
            told: dict[str, Any] = result.structured_content
            return told

    try:
        return asyncio.run(call())
    except BaseExceptionGroup as group:
        # The task groups around the one that failed say nothing.
        found: BaseException = group
        while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
            found = found.exceptions[0]
        raise found from None
