#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds .venvs/NAME: the provider, its emulator and the test tools on another Airflow than that of constraints.txt.
#   managed     the versions that a managed service pins; nothing deviates from them
#   lowest      the lowest versions that pyproject.toml allows
#   prerelease  the Airflow of $PRERELEASE, with the newest of everything else
set -eu
cd "$(dirname "$0")/.."
name=$1
lists=tests/data/constraints
tools=.venvs/tools.txt

case $name in
  managed) set -- --constraint $tools --constraint $lists/mwaa-3.3.1.txt apache-airflow==3.3.1 ;;
  lowest) set -- --constraint $lists/lowest.txt ;;
  prerelease) set -- --constraint $tools --prerelease allow "apache-airflow==$PRERELEASE" ;;
  *) echo "managed, lowest or prerelease is needed, not $name" >&2; exit 1 ;;
esac

export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
mkdir -p .venvs
# The test tools are those of constraints.txt: a service doesn't pin them, and a pre-release of theirs is not wanted.
grep -E '^(av|coverage|hypothesis|pytest|rclone|schemathesis|jsonschema-rs)[a-z-]*==' constraints.txt >$tools
.venv/bin/uv venv --quiet --clear --python .venv/bin/python ".venvs/$name"
.venv/bin/uv pip install --quiet --python ".venvs/$name/bin/python" "$@" --group test --editable ".[emulator]"
