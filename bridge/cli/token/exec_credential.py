"""A token as Kubernetes' client libraries take it from a program: `ExecCredential` of client.authentication.k8s.io."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.cli.options import Failure
from bridge.cli.output import printable
from bridge.cli.token.request import Granted
from bridge.jose.strict_json import InvalidJson, loads_object
from bridge.model.times import LATEST, rfc3339

ENVIRONMENT = "KUBERNETES_EXEC_INFO"
_GROUP = "client.authentication.k8s.io"
# Both have the same fields, as far as a token needs them. The caller takes no other version than its own.
_VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
_KIND = "ExecCredential"
_MAX_BYTES = 1024 * 1024


def version_wanted(environment: Mapping[str, str]) -> str:
    """The `apiVersion` of the answer: the one of KUBERNETES_EXEC_INFO, v1 without it.

    Raises: Failure for one that is not known here, or what is no ExecCredential.
    """
    text = environment.get(ENVIRONMENT)
    if not text:
        return _VERSIONS[0]
    try:
        asked = loads_object(text.encode(), max_bytes=_MAX_BYTES)
    except InvalidJson as error:
        raise Failure(f"{ENVIRONMENT} is no JSON object: {printable(error)}") from error
    if asked.get("kind") != _KIND:
        raise Failure(f"{ENVIRONMENT} is of kind {printable(asked.get('kind'))}, not {_KIND}")
    version = asked.get("apiVersion")
    if version not in _VERSIONS:
        raise Failure(
            f"{ENVIRONMENT} asks for {printable(version)}; known are {' and '.join(_VERSIONS)}: "
            "name one of them as apiVersion of `exec` in the kubeconfig"
        )
    return str(version)


def exec_credential(granted: Granted, version: str, *, asked_at: int) -> dict[str, object]:
    """The answer. `asked_at`: epoch seconds before the token was asked for, so that it is never said to live longer
    than it does. Raises: Failure for a token that a bearer cannot use."""
    if granted.token_type.lower() != "bearer":
        raise Failure(f"the token is of type {printable(granted.token_type)}: Kubernetes sends bearer tokens only")
    status: dict[str, object] = {"token": granted.token}
    # Without it the caller keeps the token until the API server refuses it.
    if granted.lifetime is not None:
        status["expirationTimestamp"] = rfc3339(min(asked_at + granted.lifetime, LATEST))
    return {"apiVersion": version, "kind": _KIND, "status": status}
