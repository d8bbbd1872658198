#!/usr/bin/env bash
# Every test, in two parts: what needs no hypervisor in two processes, then the tests on the one libvirt of the lab, one
# after the other (some of them kill it). Both parts always run; arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
NO_TESTS=5

part() {
  .venv/bin/python -m pytest "$@"
  local code=$?
  # Arguments may leave a part without tests.
  if [ "$code" -eq "$NO_TESTS" ]; then return 0; fi
  return "$code"
}

failed=0
part -n "${WORKERS:-2}" --dist loadfile -m "not libvirt" "$@" || failed=1
part -m libvirt "$@" || failed=1
exit "$failed"
