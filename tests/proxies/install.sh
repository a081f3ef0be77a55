#!/usr/bin/env bash
# Debian's nginx, with its stream module, and HAProxy, unless they are there. Needs root, or sudo without a password.
set -eu

PATH=$PATH:/usr/sbin:/usr/local/sbin
missing=()
command -v nginx >/dev/null || missing+=(nginx libnginx-mod-stream)
command -v haproxy >/dev/null || missing+=(haproxy)
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    echo "make test-proxies needs ${missing[*]}, and may not install them here. As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null; then
  echo "make test-proxies needs nginx (with the stream module) and haproxy in PATH; this is no Debian to install them on" >&2
  exit 1
fi
echo "installing ${missing[*]}"
# Debian starts the services that it installs. Here they are wanted as programs alone.
if [ -d /run/systemd/system ]; then
  "${as_root[@]}" systemctl mask --runtime --quiet nginx.service haproxy.service
  trap '"${as_root[@]}" systemctl unmask --runtime --quiet nginx.service haproxy.service' EXIT
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
