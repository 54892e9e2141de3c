#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds .venvs/NAME: the provider, its emulator and the test tools in another environment than .venv.
#   managed     exactly the versions that a managed service pins
#   lowest      the lowest versions that pyproject.toml allows
#   prerelease  the Airflow of $PRERELEASE, with the newest version of everything else
#   python3.12  the versions of constraints.txt on the interpreter $PYTHON; likewise the other supported Pythons
set -eu
cd "$(dirname "$0")/.."
name=$1
lists=tests/data/constraints
tools=.venvs/tools.txt
interpreter=.venv/bin/python

case $name in
  managed) set -- --constraint $tools --constraint $lists/mwaa-3.3.1.txt apache-airflow==3.3.1 ;;
  lowest) set -- --constraint $lists/lowest.txt ;;
  prerelease) set -- --constraint $tools --prerelease allow "apache-airflow==$PRERELEASE" ;;
  python3.11 | python3.12 | python3.13) set -- --constraint constraints.txt; interpreter=$PYTHON ;;
  *) echo "unknown environment: $name" >&2; exit 1 ;;
esac

export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
mkdir -p .venvs
# The test tools come from constraints.txt: the service does not pin them, and their prereleases are not wanted.
grep -E '^(av|coverage|hypothesis|pytest|rclone|schemathesis|jsonschema-rs|sybil)[a-z-]*==' constraints.txt >$tools
.venv/bin/uv venv --quiet --clear --python "$interpreter" ".venvs/$name"
.venv/bin/uv pip install --quiet --python ".venvs/$name/bin/python" "$@" --group test --editable ".[emulator,posters]"
