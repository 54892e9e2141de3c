#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Airflow 3.3.2 (Task SDK 1.3.2) with the Amazon provider 9.39.0, no plugin that reads the lineage of hooks.
#
# Guess: without such a plugin, `get_hook_lineage_collector()` returns its `NoOpCollector` at once; a class whose methods
# do nothing loads nothing, so a hook may call it for every file without a thought.
#
# What happens: it is a no-op, but making one imports boto3, botocore, requests and some 300 modules in all. The class
# inherits the constructor of the collector that it stands in for, which asks the providers manager for the functions
# that name assets; that imports the module of assets of every installed provider, and the Amazon one's imports its S3
# hook. A task is a process of its own, so each one that only wants to say which file it has written pays for it, in CPU
# time and memory, the more the more providers are installed. `get_hook_lineage_readers_plugins()`, which Airflow calls
# one line above, says beforehand whether anybody would read it, and only looks at plugins.
#
# Needs python3 with venv, and a package index; no network besides.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "apache-airflow==3.3.2" "apache-airflow-task-sdk==1.3.2" \
  "apache-airflow-providers-amazon==9.39.0"

cat >"$folder/task.py" <<'PYTHON'
"""Prints what a task process loads to make a collector that collects nothing."""
import sys
import time

from airflow.sdk import BaseOperator  # noqa: F401 - what every task has loaded
from airflow.sdk.lineage import get_hook_lineage_collector
from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins


def noted(make):
    modules, began = set(sys.modules), time.process_time()
    made = make()
    seconds = time.process_time() - began
    return made, len(set(sys.modules) - modules), f"{seconds:.2f} CPU seconds", "boto3" in sys.modules


print("readers", *noted(get_hook_lineage_readers_plugins))
collector, *cost = noted(get_hook_lineage_collector)
print("collector", type(collector).__name__, *cost)
print("collects", collector.add_output_asset(uri="s3://bucket/key"), collector.collected_assets.outputs)
PYTHON

env -i PATH="$PATH" HOME="$folder" AIRFLOW_HOME="$folder/airflow" "$folder/venv/bin/python" "$folder/task.py" \
  2>/dev/null | tee "$folder/output"

# Output: "readers [] 144 0.14 CPU seconds False", "collector NoOpCollector 294 0.22 CPU seconds True", "collects None []";
# the numbers of modules and of seconds vary.
awk '$1 == "readers" && $2 == "[]" && $NF == "False" {a = 1}
  $1 == "collector" && $2 == "NoOpCollector" && $3 > 150 && $NF == "True" {b = 1}
  $0 == "collects None []" {c = 1}
  END {exit !(a && b && c)}' "$folder/output" && echo "as described"
