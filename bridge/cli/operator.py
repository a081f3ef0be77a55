"""Who runs a command, for the audit log."""

from __future__ import annotations

import os


def operator_name() -> str:
    """`local user NAME` of the account that runs this process. Not checked: which person that is."""
    from bridge.registration.verdicts import local_user

    return local_user(os.getuid())
