#!/usr/bin/env bash
# Debian's Prometheus, for its promtool, unless that is there.
set -eu
. "$(dirname "$0")/../../debian.sh"

SERVICES=(prometheus.service)
missing=()
command -v promtool >/dev/null || missing+=(prometheus)
install_for test-alerts "promtool, of Prometheus" "${missing[@]}"
