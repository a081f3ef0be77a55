#!/usr/bin/env bash
# Debian's nginx, with its stream module, and HAProxy, unless they are there.
set -eu
. "$(dirname "$0")/../debian.sh"

PATH=$PATH:/usr/sbin:/usr/local/sbin
SERVICES=(nginx.service haproxy.service)
missing=()
command -v nginx >/dev/null || missing+=(nginx libnginx-mod-stream)
command -v haproxy >/dev/null || missing+=(haproxy)
install_for test-proxies "nginx (with the stream module) and haproxy" "${missing[@]}"
