"""A workload: a process of its own that asks the Workload API for its SVIDs, one JSON line per question.

Run as a file: `workload.py SOCKET [UID]`. As root it drops to UID before its first call, for two reasons: SPIRE
decides by the uid that opened the connection, and an interpreter below a private home could not be started
by another uid, so everything is imported while that is still possible.

Questions: {"want": "jwt", "audience": A} | {"want": "x509"} | {"want": "bundles"}. It ends with its stdin.
"""

# ruff: noqa: T201 - its answers go to its standard output.
from __future__ import annotations

import json
import os
import sys

import grpc  # noqa: F401
import spiffe
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from spiffe.errors import PySpiffeError

CALL_SECONDS = 10.0


def drop_to(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def answer(client: spiffe.WorkloadApiClient, question: dict[str, str]) -> dict[str, object]:
    match question["want"]:
        case "jwt":
            jwt = client.fetch_jwt_svid({question["audience"]}, timeout=CALL_SECONDS)
            return {"spiffe_id": str(jwt.spiffe_id), "token": jwt.token}
        case "x509":
            svid = client.fetch_x509_svid(timeout=CALL_SECONDS)
            key = svid.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            chain = "".join(each.public_bytes(Encoding.PEM).decode() for each in svid.cert_chain)
            return {"spiffe_id": str(svid.spiffe_id), "chain": chain, "key": key.decode()}
        case "bundles":
            jwt_bundles = client.fetch_jwt_bundles(timeout=CALL_SECONDS).bundles
            x509_bundles = client.fetch_x509_bundles(timeout=CALL_SECONDS).bundles
            return {
                "jwt": {bundle.trust_domain.name: sorted(bundle.jwt_authorities) for bundle in jwt_bundles},
                "x509": {
                    bundle.trust_domain.name: sorted(
                        each.public_bytes(Encoding.PEM).decode() for each in bundle.x509_authorities
                    )
                    for bundle in x509_bundles
                },
            }
    raise ValueError(f"unknown question {question!r}")


def main(socket: str, uid: str | None = None) -> None:
    if uid is not None:
        drop_to(int(uid))
    for line in sys.stdin:
        try:
            # A fresh connection per question: it shows the agent as it is now, also right after a restart.
            with spiffe.WorkloadApiClient(socket) as client:
                said = answer(client, json.loads(line))
        except PySpiffeError as error:
            said = {"error": str(error)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
