#!/usr/bin/env bash
# Debian's systemd, for systemd-analyze, with libseccomp, and the sqlite3 that the backup runs, unless they are there.
set -eu
. "$(dirname "$0")/../debian.sh"

missing=()
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v sqlite3 >/dev/null || missing+=(sqlite3)
install_for test-packaging "systemd-analyze and sqlite3" "${missing[@]}"
