#!/usr/bin/env bash
# Every test but those of containers, in three parts: unit tests in two processes, with their coverage, which must not sink
# (measuring doubles the time, so only here); whatever else needs no hypervisor; then the tests on the one libvirt of the
# lab, one after the other (some of them kill it). All parts always run. With arguments, which go to pytest, the first two
# are one, unmeasured. Images of containers are built from registries, which the lab cannot reach: `make test-containers`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
NO_TESTS=5
# Of all lines and branches, by unit tests alone; raise it when they cover more.
UNIT_COVERAGE_PERCENT=67
# Where it is set, every server that a test starts compiles every module again.
unset PYTHONDONTWRITEBYTECODE

part() {
  .venv/bin/python -m pytest "$@"
  local code=$?
  # Arguments may leave a part without tests.
  if [ "$code" -eq "$NO_TESTS" ]; then return 0; fi
  return "$code"
}

failed=0
parallel=(-n "${WORKERS:-2}" --dist loadfile -m "not libvirt")
if [ "$#" -eq 0 ]; then
  part "${parallel[@]}" tests/unit --cov --cov-report= --cov-fail-under="$UNIT_COVERAGE_PERCENT" || failed=1
  part "${parallel[@]}" tests --ignore=tests/unit --ignore=tests/containers || failed=1
else
  part "${parallel[@]}" "$@" || failed=1
fi
part -m libvirt --ignore=tests/containers "$@" || failed=1
exit "$failed"
