#!/usr/bin/env bash
# Builds the SPIRE server and agent that go.mod pins into spire-dev/bin. Does nothing when they are there.
#
# The flags are constant on purpose: Go's build cache is keyed by them, and any other flag compiles
# all of SPIRE's dependencies anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly WANTED_GO=1.26.6
readonly STAMP=bin/.built-from

fail() { printf 'spire-dev/build.sh: %s\n' "$*" >&2; exit 1; }

# What the binaries are made from. A stamp of the content, not of times: a fresh clone gives every file a
# new time, also where the binaries came out of a cache.
inputs() { sha256sum go.mod go.sum ejbca-stub/go.mod ejbca-stub/api/ejbca/*.go build.sh; }

if [ -x bin/spire-server ] && [ -x bin/spire-agent ] && [ "$(inputs)" = "$(cat "$STAMP" 2>/dev/null)" ]; then
  exit 0
fi

command -v go >/dev/null || fail "Go >= $WANTED_GO is needed to build SPIRE, and there is no go in PATH (https://go.dev/dl/)"
found=$(go env GOVERSION 2>&1) || fail "this Go cannot build SPIRE, which needs Go >= $WANTED_GO: $found"
printf '%s\n' "go$WANTED_GO" "$found" | sort -V -C || fail "Go >= $WANTED_GO is needed to build SPIRE; this is $found"
compiler=$(go env CC)
command -v "${compiler%% *}" >/dev/null || fail "a C compiler (${compiler:-gcc}) is needed: SPIRE's datastore uses cgo"

echo "building spire-server and spire-agent with $found"
echo "  nothing cached: about 11 minutes on 2 cores and 500 MB to download; all cached: half a minute"
started=$SECONDS
go build -ldflags "-s -w" -o bin/ github.com/spiffe/spire/cmd/spire-agent github.com/spiffe/spire/cmd/spire-server &
build=$!
trap 'kill "$build" 2>/dev/null || true' INT TERM
while kill -0 "$build" 2>/dev/null; do
  # One line a minute, so that a quiet compiler is not taken for a hanging one.
  for _ in $(seq 60); do sleep 1; kill -0 "$build" 2>/dev/null || break; done
  kill -0 "$build" 2>/dev/null && echo "  still building after $(( (SECONDS - started) / 60 )) min"
done
wait "$build" || fail "the build failed"
inputs >"$STAMP"
echo "built in $((SECONDS - started)) s: $(bin/spire-server --version 2>&1)"
