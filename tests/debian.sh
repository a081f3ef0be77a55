# Sourced by the installers of test suites: `install_for TARGET WHAT PACKAGE...`. Needs root, or sudo without a password.
# `WHAT` is what the suite needs, in words; with no package there is nothing to do. The services that come with the
# packages, by name in SERVICES, are not started.
SERVICES=()

install_for() {
  local target=$1 what=$2 as_root=()
  shift 2
  [ $# -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      echo "make $target needs $*, and may not install them here. As root: apt-get install $*" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "make $target needs $what in PATH; this is no Debian to install them on" >&2
    return 1
  fi
  echo "installing $*"
  # Debian starts the services that it installs. Here they are wanted as programs alone.
  if [ -d /run/systemd/system ] && [ ${#SERVICES[@]} -gt 0 ]; then
    "${as_root[@]}" systemctl mask --runtime --quiet "${SERVICES[@]}"
    # shellcheck disable=SC2064  # the words as they are now: at the end of the script the local ones are gone
    trap "${as_root[*]} systemctl unmask --runtime --quiet ${SERVICES[*]}" EXIT
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
