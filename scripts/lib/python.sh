# shellcheck shell=bash
# The tool venv (.tools, holds uv) and the project's venv (.venv), both from hashed locks.

TOOLS=.tools
VENV=.venv

# find_python: the interpreter to build on. Debian's own comes first, because the
# headers that libvirt-python is compiled against are those of its -dev package.
find_python() {
  local candidate
  for candidate in ${PARCELA_PYTHON:-/usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3}; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

# install_tools: uv, at the version and hash of requirements/tools.txt.
install_tools() {
  local python key
  python=$(find_python) || die "no Python >= 3.11 with the venv module; set PARCELA_PYTHON to one"
  key="$(digest requirements/tools.txt) $python"
  stamped "$TOOLS/.stamp" "$key" && [ -x "$TOOLS/bin/uv" ] && return 0
  say "tool environment in $TOOLS ($python)"
  rm -rf "$TOOLS"
  "$python" -m venv "$TOOLS"
  "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes -r requirements/tools.txt
  stamp "$TOOLS/.stamp" "$key"
}

uv() {
  # Never fetch an interpreter, never read the user's uv settings: the locks decide.
  env UV_PYTHON_DOWNLOADS=never UV_NO_CONFIG=1 UV_LINK_MODE="${UV_LINK_MODE:-copy}" \
    UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}" "$TOOLS/bin/uv" "$@"
}

# install_project run|dev: the venv at exactly the locked versions, plus this checkout.
# An up-to-date dev environment serves `run` as well: both locks agree on versions.
install_project() {
  local kind=$1 python run_key dev_key key
  python=$(find_python) || die "no Python >= 3.11 with the venv module; set PARCELA_PYTHON to one"
  run_key="run $(digest requirements/run.txt requirements/build.txt pyproject.toml) $python"
  dev_key="dev $(digest requirements/dev.txt requirements/build.txt pyproject.toml) $python"
  stamped "$VENV/.stamp" "$dev_key" && return 0
  [ "$kind" = run ] && stamped "$VENV/.stamp" "$run_key" && return 0
  if [ "$kind" = run ]; then key=$run_key; else key=$dev_key; fi
  say "project environment in $VENV (requirements/$kind.txt)"
  rm -f "$VENV/.stamp"
  # Another interpreter than last time: start over rather than mix two.
  if ! [ -x "$VENV/bin/python" ] || [ "$(cat "$VENV/.interpreter" 2>/dev/null)" != "$python" ]; then
    rm -rf "$VENV"
    uv venv --quiet --python "$python" "$VENV"
    printf '%s\n' "$python" >"$VENV/.interpreter"
  fi
  # What builds sdists (libvirt-python) and this project is held to a lock as well.
  local shared=(--python "$VENV/bin/python" --build-constraints requirements/build.txt)
  # Compiled once here, not at the first start (or, where PYTHONDONTWRITEBYTECODE is set, at every one).
  uv pip sync --quiet "${shared[@]}" --compile-bytecode --require-hashes "requirements/$kind.txt"
  uv pip install --quiet "${shared[@]}" --no-deps --editable .
  stamp "$VENV/.stamp" "$key"
}
