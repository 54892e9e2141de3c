#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds .venv with everything that the project's commands need, at the versions of constraints.txt.
set -eu
cd "$(dirname "$0")/.."
venv=.venv/bin/python

"$PYTHON" - <<'CHECK' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit("Python 3.11 to 3.14 is needed, this is %s (%s). Choose another one: make PYTHON=python3.12 ..."
             % (sys.version.split()[0], sys.executable))
CHECK

echo "Setting up .venv (once; under a minute)"
[ -x "$venv" ] || "$PYTHON" -m venv .venv || {
  rm -rf .venv
  echo "Failed to create a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2
  exit 1
}
set -- --constraint constraints.txt --build-constraint constraints.txt --group dev --editable ".[emulator,posters]"
"$venv" -m pip install -qq --disable-pip-version-check --constraint constraints.txt pip uv
# Behind a company's own certificate authority only the system's trust store works.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
# uv takes seconds where pip takes minutes, but uses the default index only; pip reads the user's configuration.
.venv/bin/uv pip install --quiet --compile-bytecode --python "$venv" "$@" || {
  echo "uv failed; trying pip"
  "$venv" -m pip install -qq "$@"
}
