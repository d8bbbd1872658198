# shellcheck shell=bash
# Installs the Debian packages that are missing, and says which before doing it.

POLICY=/usr/sbin/policy-rc.d
POLICY_SAVED=/usr/sbin/policy-rc.d.parcela-saved

# wanted LIST...: package names of these lists whose conditions hold here.
wanted() {
  local list name conditions
  for list in "$@"; do
    [ -f "$list" ] || continue
    while read -r name conditions; do
      case $name in '' | '#'*) continue ;; esac
      conditions=${conditions%%#*}
      case " $conditions " in *' no-systemd '*) has_systemd && continue ;; esac
      printf '%s %s\n' "$name" "$conditions"
    done <"$list"
  done
}

installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# missing LIST...: those of them that are not installed, as "NAME CONDITIONS".
missing() {
  local name conditions
  wanted "$@" | sort -u | while read -r name conditions; do
    installed "$name" || printf '%s %s\n' "$name" "$conditions"
  done
}

# available NAME: does apt know a version of it?
available() {
  local policy
  # Not through a pipe into grep -q: that ends early, and apt-cache's broken pipe would count as no.
  policy=$(apt-cache policy "$1" 2>/dev/null)
  [[ $policy == *'Candidate: '* && $policy != *'Candidate: (none)'* ]]
}

# Debian starts a daemon as soon as its package is unpacked. The tests use private
# ones only, so a policy-rc.d that says no is in force during our apt call.
forbid_daemons() {
  if [ -x "$POLICY" ]; then
    local answer=0
    "$POLICY" parcela start >/dev/null 2>&1 || answer=$?
    [ "$answer" -eq 101 ] && return 0
    as_root mv "$POLICY" "$POLICY_SAVED"
  fi
  printf '#!/bin/sh\n# parcela: temporary, while scripts/setup.sh installs packages\nexit 101\n' |
    as_root tee "$POLICY" >/dev/null
  as_root chmod 0755 "$POLICY"
}

# Also undoes what a killed earlier run left behind: our file carries its own mark.
allow_daemons() {
  if [ -f "$POLICY" ] && grep -q '^# parcela: temporary' "$POLICY"; then
    as_root rm -f "$POLICY"
  fi
  if [ -e "$POLICY_SAVED" ]; then as_root mv "$POLICY_SAVED" "$POLICY"; fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "$@"
}

# The lock of the package lists has no waiting of its own, hence the attempts.
apt_update() {
  local attempt
  for attempt in 1 2 3 4 5; do
    apt_get update -qq && return 0
    note "apt-get update failed (attempt $attempt)"
    sleep $((attempt * 2))
  done
  die "apt-get update keeps failing; is this machine online?"
}

# install_packages MODE LIST...
install_packages() {
  local mode=$1 name conditions todo=() lines
  shift
  command -v dpkg-query >/dev/null 2>&1 ||
    die "this set-up installs Debian packages, and dpkg is not here; see docs for other systems"
  lines=$(missing "$@")
  # Optional ones that apt does not know are no reason to touch anything.
  if [ -z "$(awk '!/ optional/ {print $1}' <<<"$lines")" ]; then
    lines=$(while read -r name conditions; do
      [ -n "$name" ] && available "$name" && printf '%s %s\n' "$name" "$conditions"
    done <<<"$lines" || true)
  fi
  if [ -z "$lines" ]; then
    say "Debian packages: nothing missing"
    return 0
  fi
  say "Debian packages to install:"
  note "$(awk '{print $1}' <<<"$lines" | tr '\n' ' ')"
  may_be_root || die "neither root nor sudo: install these packages first, then call me again"
  apt_update
  while read -r name conditions; do
    case " $conditions " in
      *' optional '*) available "$name" || { note "not in this distribution: $name" && continue; } ;;
    esac
    todo+=("$name")
  done <<<"$lines"
  # Nothing but optional packages that this distribution lacks may be left.
  [ "${#todo[@]}" -gt 0 ] || return 0
  if [ "$mode" = test ]; then
    trap allow_daemons EXIT
    forbid_daemons
  fi
  # Standard output is for the caller, and stdin must not be eaten by a maintainer script.
  apt_get install -y --no-install-recommends "${todo[@]}" </dev/null >&2
  if [ "$mode" = test ]; then
    allow_daemons
    trap - EXIT
  fi
}
