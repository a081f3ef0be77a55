"""Who runs a command, for the audit log."""

from __future__ import annotations

import os
import pwd


def operator_name() -> str:
    """`local user NAME` of the account that runs this process. Not checked: which person that is."""
    uid = os.getuid()
    try:
        return f"local user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"local user {uid}"
