#!/usr/bin/env bash
# Ends what spire-dev/up.sh [DIR] started and removes DIR.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=$(realpath -m "${1:-${TMPDIR:-/tmp}/spire-dev-$(id -u)}")
cd "$here/.."
exec .venv/bin/python -m tests.live.standing_lab down "$directory"
