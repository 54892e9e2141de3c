#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints an interpreter for each supported Python that this machine has, apart from the Python of .venv.
set -eu
cd "$(dirname "$0")/.."
own=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in 3.11 3.12 3.13 3.14; do
  [ "$version" != "$own" ] || continue
  # A name on the PATH may be a shim of pyenv with another version behind it or none, so each candidate is tried.
  for candidate in "python$version" "$(pyenv prefix "$version" 2>/dev/null)/bin/python" \
    "$(.venv/bin/uv python find --managed-python --no-python-downloads "$version" 2>/dev/null)"; do
    if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
      echo "$candidate"
      break
    fi
  done
done
