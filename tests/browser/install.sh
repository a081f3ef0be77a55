#!/usr/bin/env bash
# Debian's Chromium, its driver and one family of fonts, unless they are there.
set -eu
. "$(dirname "$0")/../debian.sh"

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
fc-list 2>/dev/null | grep -q DejaVu || missing+=(fonts-dejavu-core)
install_for test-browser "chromium, chromedriver and DejaVu fonts" "${missing[@]}"
