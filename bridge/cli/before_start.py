"""What would keep a service from starting, found before anything is changed, with what to do about it."""

from __future__ import annotations

import errno
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.model.errors import StartRefused

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.serving.options import ServingOptions


def start_faults(settings: Settings, options: ServingOptions) -> list[str]:
    """Everything that keeps this service from starting on this machine as it is now.

    Not looked at: what `prepare` says well by itself (rights of the seal key, schema, policies). The
    addresses are bound for a moment; somebody may still be faster.
    """
    from bridge.operator_faults import operator_faults

    return [*seal_faults(settings), *tls_faults(settings), *operator_faults(settings), *address_faults(options)]


def seal_faults(settings: Settings) -> list[str]:
    """A store whose seal key is gone. Making a new key would only hide that."""
    if settings.seal_file.exists() or not settings.database.exists():
        return []
    fault = (
        f"{settings.seal_file}: the seal key is gone; restore it from the backup. The keys of the store "
        f"{settings.database} cannot be opened without it, and no new one is made"
    )
    return [fault]


def tls_faults(settings: Settings) -> list[str]:
    """Files of a server certificate that cannot be used, or not with this private key."""
    from bridge.serving.tls import UnfitCertificate, plain_context, read_certificate

    if settings.tls is None or settings.tls.certificate is None or settings.tls.private_key is None:
        return []
    certificate, private_key = Path(settings.tls.certificate), Path(settings.tls.private_key)
    try:
        plain_context(read_certificate(certificate, private_key))
    except UnfitCertificate as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError) and cause.reason == "KEY_VALUES_MISMATCH":
            return [f"{private_key}: the private key is not that of the certificate {certificate}"]
        return [str(error)]
    return []


def address_faults(options: ServingOptions) -> list[str]:
    """Addresses that cannot be listened on."""
    from bridge.serving.sockets import open_listeners

    try:
        listeners = open_listeners(options)
    except StartRefused as error:
        taken = os.strerror(errno.EADDRINUSE)
        return [f"{fault}; another process has it: ss -ltnp" if taken in fault else fault for fault in error.faults]
    for listener in listeners:
        listener.close()
    return []
