"""A registered client that manages itself as RFC 7592 has it."""

from __future__ import annotations

from typing import Any

from bridge.lab.x509 import X509Svid
from tests.flows.enrolling import JSON_TYPE, Office, Reply

ID = "spiffe://example.org"
ON = "[registration]\nmanagement = true\n"
GIVEN = ("client_id_issued_at", "registration_client_uri", "registration_access_token", "software_statement")


class Mine:
    """A registered client that keeps what it was told. `path` is new for each test."""

    def __init__(self, desk: Office, path: str, claims: dict[str, object] | None = None, **said: Any) -> None:
        self.desk, self.path = desk, path
        self.svid: X509Svid = desk.stand.authority.x509_svid(path)
        self.told = desk.enrol(path, claims=claims or {}, **said).registered

    @property
    def token(self) -> str:
        return str(self.told["registration_access_token"])

    @property
    def at(self) -> str:
        """The path of `registration_client_uri`, which is under the mTLS base."""
        base = self.desk.stand.mtls_base
        uri = str(self.told["registration_client_uri"])
        assert uri.startswith(base + "/register/")
        return uri.removeprefix(base)

    def send(
        self, method: str, body: object = b"", *, token: str | None = "", svid: X509Svid | None = None, at: str = ""
    ) -> Reply:
        """With both credentials unless another `token` is named, or None for none."""
        headers = [JSON_TYPE] if method == "PUT" else []
        if token is not None:
            headers.append((b"authorization", f"Bearer {token or self.token}".encode()))
        return self.desk.call(method, at or self.at, body, headers=headers, svid=svid or self.svid)

    def keep(self, reply: Reply) -> dict[str, Any]:
        assert reply.status == 200, reply.content
        self.told = reply.body
        return self.told

    def update(self, **changes: Any) -> dict[str, Any]:
        """The body of a PUT: what was last told, as RFC 7592 wants it, with changes; None takes out."""
        body = {name: value for name, value in self.told.items() if name not in GIVEN} | changes
        return {name: value for name, value in body.items() if value is not None}
