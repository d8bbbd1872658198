# shellcheck shell=bash
# Guest images. The builders in guest/ are cached by themselves: a call with nothing to do is cheap.

# shellcheck disable=SC2034  # setup.sh reads both
GUEST_DIR=${PARCELA_GUEST_DIR:-.cache/guest}
# shellcheck disable=SC2034
DEBIAN_DIR=${PARCELA_DEBIAN_DIR:-.cache/debian}

# build_guest BUILDER OUTDIR
build_guest() {
  local builder=$1 out=$2
  if ! [ -x "$builder" ]; then
    note "no $builder in this checkout: skipped"
    return 0
  fi
  say "guest image in $out ($builder)"
  mkdir -p "$out"
  "$builder" "$out" >&2
}
