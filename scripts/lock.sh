#!/usr/bin/env bash
# Regenerates requirements/*.txt from pyproject.toml and requirements/*.in.
# The locks hold every version and hash for every platform, and name no index: a mirror serves as well.
# Versions already locked stay unless a bound in pyproject.toml moves them; `UPGRADE=1` takes the newest.
# `lock.sh --check` changes nothing and fails when a lock does not follow from its input any more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/common.sh
. scripts/lib/common.sh
# shellcheck source=scripts/lib/python.sh
. scripts/lib/python.sh

check=0
if [ "${1:-}" = --check ]; then check=1; fi

# A lock of uv itself is made by uv: bootstrap from the pinned version when there is no lock yet.
if [ -f requirements/tools.txt ]; then
  install_tools
elif ! [ -x "$TOOLS/bin/uv" ]; then
  "$(find_python)" -m venv "$TOOLS"
  "$TOOLS/bin/python" -m pip install --quiet -r requirements/tools.in
fi

stale=()
compile() {
  local lock=$1 output=$1
  shift
  if [ "$check" = 1 ]; then
    output=$(mktemp)
    # uv prefers the versions it finds in the output file.
    cp "$lock" "$output"
  else
    say "$lock"
  fi
  uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
    --python-version 3.11 ${UPGRADE:+--upgrade} --output-file "$output" "$@" >/dev/null
  if [ "$check" = 1 ]; then
    cmp --quiet "$lock" "$output" || stale+=("$lock")
    rm -f "$output"
  fi
}

compile requirements/tools.txt requirements/tools.in
compile requirements/node.txt requirements/node.in
compile requirements/build.txt requirements/build.in
compile requirements/run.txt pyproject.toml --extra libvirt
# Constrained by the run lock, so that tests exercise the versions that users get.
compile requirements/dev.txt pyproject.toml --extra libvirt --group dev --constraints requirements/run.txt

if grep -nEi '(https?|file)://' requirements/*.txt; then
  die "a lock names a place; locks name versions and hashes only"
fi
if [ "${#stale[@]}" -gt 0 ]; then
  die "out of date: ${stale[*]} (make lock)"
fi
