#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds .venvs/NAME: the provider, its emulator and the test tools in another environment than .venv.
#   managed     exactly the versions that a managed service pins
#   airflow3.1  the newest patch of that Airflow with what the package index had at its release; likewise airflow3.2
#   lowest      the lowest versions that pyproject.toml allows
#   clouds      with Airflow's providers for Azure and Google, and servers to land on
#   prerelease  the Airflow of $PRERELEASE, with the newest version of everything else
#   python3.12  the versions of constraints.txt on the interpreter $PYTHON; likewise the other supported Pythons
set -eu
cd "$(dirname "$0")/.."
name=$1
lists=tests/data/constraints
tools=.venvs/tools.txt
interpreter=.venv/bin/python
extras=emulator,posters

case $name in
  managed) set -- --constraint $tools --constraint $lists/mwaa-3.3.1.txt apache-airflow==3.3.1 ;;
  airflow3.1) set -- --constraint $tools --constraint $lists/airflow-3.1.8.txt apache-airflow==3.1.8 ;;
  airflow3.2) set -- --constraint $tools --constraint $lists/airflow-3.2.2.txt apache-airflow==3.2.2 ;;
  lowest) set -- --constraint $lists/lowest.txt ;;
  clouds) set -- --constraint $lists/clouds.txt --group clouds; extras=$extras,azure,gcs ;;
  prerelease) set -- --constraint $tools --prerelease allow "apache-airflow==$PRERELEASE" ;;
  python3.11 | python3.12 | python3.13 | python3.14) set -- --constraint constraints.txt; interpreter=$PYTHON ;;
  *) echo "unknown environment: $name" >&2; exit 1 ;;
esac

export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
mkdir -p .venvs
# The test tools come from constraints.txt: the service does not pin them, and their prereleases are not wanted.
grep -E '^(av|coverage|hypothesis|pytest|rclone|schemathesis|seaweedfs|jsonschema-rs|sybil)[a-z-]*==' constraints.txt >$tools.$name
# Another environment may be built at the same time.
mv $tools.$name $tools
.venv/bin/uv venv --quiet --clear --python "$interpreter" ".venvs/$name"
.venv/bin/uv pip install --quiet --python ".venvs/$name/bin/python" "$@" --group test --editable ".[$extras]"

[ "$name" = clouds ] || exit 0
# Microsoft's server of Azure Blob Storage's API comes from npm only.
npm install --prefix .venvs/clouds --silent --no-fund --no-audit --fetch-retries=0 azurite@3.37.0 ||
  echo "npm is missing, or can't install azurite: the tests on Azure will be skipped"
