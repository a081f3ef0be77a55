"""What the lab's resource offers: two tools, told in as much of MCP as its clients need (JSON-RPC 2.0 over POST)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.lab.resource_tokens import Caller

LIST, CALL = "tools.list", "tools.call"
SCOPES = (LIST, CALL)
_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
_NO_ARGUMENTS = {"type": "object", "properties": {}}
TOOLS = (
    {"name": "whoami", "description": "What the access token says about its caller.", "inputSchema": _NO_ARGUMENTS},
    {"name": "sign", "description": "Sign the guest book, as a person only.", "inputSchema": _NO_ARGUMENTS},
)


def scope_for(message: Mapping[str, Any]) -> str:
    """The scope that a message needs: reading the list of tools is less than calling one."""
    return CALL if message.get("method") == "tools/call" else LIST


def answer(message: Mapping[str, Any], caller: Caller) -> dict[str, Any] | None:
    """The JSON-RPC response; None for a notification, which has none. The caller has the scope for it."""
    if "id" not in message:
        return None
    method, params = message.get("method"), message.get("params")
    params = params if isinstance(params, dict) else {}
    if method == "initialize":
        return _result(message, _hello(params))
    if method == "ping":
        return _result(message, {})
    if method == "tools/list":
        return _result(message, {"tools": list(TOOLS)})
    if method == "tools/call" and params.get("name") == "whoami":
        return _result(message, _told(_who(caller)))
    if method == "tools/call" and params.get("name") == "sign":
        return _result(message, _signed(caller))
    if method == "tools/call":
        return _error(message, -32602, "there is no such tool")
    return _error(message, -32601, "there is no such method")


def _hello(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in _VERSIONS else _VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "bridge lab resource", "version": "1"},
    }


def _who(caller: Caller) -> dict[str, Any]:
    return {
        "kind": "client" if caller.user is None else "user",
        "user": caller.user,
        "actor": caller.actor,
        "client_id": caller.client_id,
        "scopes": sorted(caller.scopes),
        "bound_to": caller.bound_to,
        "audience": caller.claims.get("aud"),
    }


def _signed(caller: Caller) -> dict[str, Any]:
    """Who may do a thing can turn on whether a person stands behind the call, whatever the scopes say."""
    if caller.user is None:
        return {"content": [{"type": "text", "text": "only a person signs the guest book"}], "isError": True}
    return _told({"signed_by": caller.user, "through": caller.actor or caller.client_id})


def _told(value: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": json.dumps(value)}], "structuredContent": value, "isError": False}


def _result(message: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def _error(message: Mapping[str, Any], code: int, words: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": words}}
