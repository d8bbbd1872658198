#!/usr/bin/env bash
# Makes this checkout ready. `setup.sh run`: what serving needs; `setup.sh test`: the whole test suite too;
# `setup.sh containers`: the tests of deploy/.
# Every step that was already done for the same inputs is skipped, so calling it again is cheap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/common.sh
. scripts/lib/common.sh
# shellcheck source=scripts/lib/packages.sh
. scripts/lib/packages.sh
# shellcheck source=scripts/lib/python.sh
. scripts/lib/python.sh
# shellcheck source=scripts/lib/guest.sh
. scripts/lib/guest.sh
# shellcheck source=scripts/lib/frontend.sh
. scripts/lib/frontend.sh

mode=${1:-}
# Two set-ups in one checkout would write the same environment: the second waits.
mkdir -p .cache
exec 9>.cache/setup.lock
flock 9

case $mode in
  run)
    install_packages run scripts/packages/run.txt guest/packages.txt
    install_tools
    install_project run
    build_guest guest/build.sh "$GUEST_DIR"
    build_frontend
    ;;
  test)
    install_packages test scripts/packages/run.txt scripts/packages/test.txt \
      guest/packages.txt guest/debian/packages.txt
    install_tools
    install_project dev
    build_guest guest/build.sh "$GUEST_DIR"
    build_guest guest/debian/build.sh "$DEBIAN_DIR"
    build_frontend
    ;;
  containers)
    install_packages containers scripts/packages/run.txt scripts/packages/containers.txt guest/packages.txt
    install_tools
    install_project dev
    build_guest guest/build.sh "$GUEST_DIR"
    ;;
  python) # Tools and environments only: enough for lint, types and quick unit tests.
    install_tools
    install_project dev
    ;;
  guest)
    install_packages run guest/packages.txt guest/debian/packages.txt
    build_guest guest/build.sh "$GUEST_DIR"
    build_guest guest/debian/build.sh "$DEBIAN_DIR"
    ;;
  *)
    die "usage: scripts/setup.sh run|test|containers|python|guest"
    ;;
esac
