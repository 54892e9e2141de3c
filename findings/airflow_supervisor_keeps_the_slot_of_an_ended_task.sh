#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Airflow 3.3.2: when the executor's slot of a task that has ended is free again.
#
# Guess: within milliseconds. The task's supervisor waits for its process in select(), which a process that ends wakes
# up by closing its four sockets.
#
# What happens: for many tasks, five seconds later. The process closes its sockets while it ends, so the supervisor is
# awake before there is an exit status to collect, asks for it without waiting (WatchedSubprocess._check_subprocess_exit
# in airflow/sdk/execution_time/supervisor.py), and goes back to select(), now with no sockets to wait for, for a whole
# [workers] min_heartbeat_interval (ActivitySubprocess._monitor_subprocess; 5 by default). The task's state is right at
# once, and its duration in the UI under a second; but it keeps its slot of the executor, and the task after it waits.
# How many do so depends on scheduling by the kernel: 6 to 37 of 41 tasks that do nothing, on one core as on two.
#
# Why it matters: short tasks are limited by slots, not by CPU, and nobody sees by what: a hundred mapped tasks that
# defer took four minutes with four slots, at 40% of one core, and a minute and a half with 32. A task that defers pays
# for it twice. More slots than the cores need, or min_heartbeat_interval = 1 at the price of a request a second for each
# running task, gives the time back.
#
# Needs Linux and python3 with venv and a package index; starts an Airflow on the loopback address and ends it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "apache-airflow==3.3.2" "apache-airflow-core==3.3.2" \
  "apache-airflow-task-sdk==1.3.2" "apache-airflow-providers-standard==1.21.0" "httpx==0.28.1"

mkdir "$folder/dags"
cat >"$folder/dags/short.py" <<'PYTHON'
from airflow.sdk import DAG, task

with DAG("short", schedule=None):

    @task
    def numbers():
        return list(range(40))

    @task
    def nothing(number):
        return number

    nothing.expand(number=numbers())
PYTHON

for name in ${!AIRFLOW@}; do unset "$name"; done
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
secret=$("$folder/venv/bin/python" -c 'import secrets; print(secrets.token_hex(32))')
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PATH="$folder/venv/bin:$PATH"
export AIRFLOW_HOME="$folder/home" AIRFLOW__CORE__DAGS_FOLDER="$folder/dags"
export AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__PARALLELISM=4
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$port" AIRFLOW__API__BASE_URL="http://127.0.0.1:$port"
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$port/execution/"
export AIRFLOW__API__SECRET_KEY="$secret" AIRFLOW__API_AUTH__JWT_SECRET="$secret"
export AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT=30

"$folder/venv/bin/python" - "http://127.0.0.1:$port" "$folder" >"$folder/output" <<'PYTHON'
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import httpx

url, folder = sys.argv[1], Path(sys.argv[2])
log = folder / "components.log"
api = httpx.Client(base_url=url, timeout=60)
components = [["api-server"], ["scheduler", "--skip-serve-logs"], ["dag-processor"]]
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def start(*command):
    output = log.open("ab")
    return subprocess.Popen([sys.executable, *command], stdout=output, stderr=output, start_new_session=True)


def stop(process):
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(30)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def until(probe):
    for _ in range(240):
        try:
            if found := probe():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(1)
    sys.exit("time out")


def get(path):
    return api.get(f"/api/v2/{path}").raise_for_status().json()


SUPERVISED = re.compile(r"Workload finished.*?duration=([\d.]+)")


def ended():
    return get(run)["state"] in ("success", "failed") and get(run)["state"]


if start("-c", "from airflow.utils.db import initdb; initdb()").wait():
    sys.exit("no database")
processes = [start("-m", "airflow", *component) for component in components]
try:
    until(lambda: get("monitor/health")["scheduler"]["status"] == "healthy")
    api.headers["Authorization"] = f"Bearer {api.get('/auth/token').json()['access_token']}"
    until(lambda: get("dags")["dags"])
    until(lambda: api.patch("/api/v2/dags/short", json={"is_paused": False}).raise_for_status())
    started = until(lambda: api.post("/api/v2/dags/short/dagRuns", json={"logical_date": None}).raise_for_status())
    run = f"dags/short/dagRuns/{quote(started.json()['dag_run_id'], safe='')}"
    print(until(ended))
    tasks = get(f"{run}/taskInstances?limit=50")["task_instances"]
    held = until(lambda: len(found := SUPERVISED.findall(log.read_text())) == len(tasks) and [*map(float, found)])
    print(f"held for {sorted(round(seconds, 1) for seconds in held)} s", file=sys.stderr)
    print("tasks:", len(tasks))
    excess = sum(seconds >= 5 for seconds in held) - sum(task["duration"] >= 5 for task in tasks)
    print("slots held for five seconds by shorter tasks:", "some" if excess > 2 else "few or none")
finally:
    for process in processes:
        stop(process)
PYTHON

cat "$folder/output"
diff "$folder/output" - <<'EXPECTED'
success
tasks: 41
slots held for five seconds by shorter tasks: some
EXPECTED
echo "as described"
