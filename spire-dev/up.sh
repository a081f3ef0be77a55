#!/usr/bin/env bash
# Starts a SPIRE server and agent for example.org and for partner.example, federated, on 127.0.0.1,
# and leaves them running: spire-dev/up.sh [DIR]. The same code as the live tests' lab.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=$(realpath -m "${1:-${TMPDIR:-/tmp}/spire-dev-$(id -u)}")
python=$here/../.venv/bin/python

[ -x "$python" ] || { echo "run \`make setup\` first: it makes .venv" >&2; exit 1; }
"$here/build.sh"
cd "$here/.."
"$python" -m tests.live.standing_lab up "$directory"
cat <<TEXT

An identity for whoever runs as uid 5001, then its SVID (as root; without root, select by unix:path, see README.md):
  export PATH=$here/bin:\$PATH
  spire-server entry create -socketPath $directory/own/server.sock \\
    -parentID spiffe://example.org/host -spiffeID spiffe://example.org/ns/payments/sa/batch -selector unix:uid:5001
  setpriv --reuid 5001 --regid 5001 --clear-groups spire-agent api fetch x509 -socketPath $directory/own/agent.sock

End it with: $here/down.sh $directory
TEXT
