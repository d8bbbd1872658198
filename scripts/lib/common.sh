# shellcheck shell=bash
# Helpers that every set-up script shares. Source it from the root of the checkout.

say() { printf '\033[1;34m==>\033[0m %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() {
  printf '\033[1;31merror:\033[0m %s\n' "$*" >&2
  exit 1
}

# Without systemd as process 1, units cannot be started and some packages need a twin.
has_systemd() { [ -d /run/systemd/system ]; }

# may_be_root: can this user run a command as root (directly or through sudo)?
may_be_root() {
  [ "$(id -u)" -eq 0 ] && return 0
  command -v sudo >/dev/null 2>&1 || return 1
  # A password can be asked for only where there is a terminal.
  sudo -n true 2>/dev/null || [ -t 0 ]
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# digest FILE...: one hash over the names and contents of files that exist.
digest() {
  local file
  for file in "$@"; do
    [ -f "$file" ] && sha256sum "$file"
  done | sha256sum | cut -d' ' -f1
}

# stamped STAMP KEY: was this step already done for exactly these inputs?
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }
stamp() {
  mkdir -p "$(dirname "$1")"
  printf '%s\n' "$2" >"$1"
}
