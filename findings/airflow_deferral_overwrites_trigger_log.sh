#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Airflow 3.3.2: a task that defers several times within one try, and what its log holds afterwards.
#
# Guess: everything. The file of a try is opened for appending, which is how the lines of a worker survive that comes
# back three times; the triggerer, whose file beside it is also named after the try, does the same.
#
# What happens: the worker appends, the triggerer truncates. It names its file after the try and its own job, and opens
# it anew for each trigger (TriggerLoggingFactory in airflow/jobs/triggerer_job_runner.py, mode "wb"). All the worker
# said is there, and of the triggers only what the last one said. The lines of the others were visible in the UI while
# they ran, so a watcher sees them go.
#
# Why it matters: a task that waits in stages (submit, poll, submit the next part) loses the history of all waits but
# the last, which is what one wants to read when it took a night. What has to last belongs in the log of the worker,
# after it has resumed. Remote logging hides the difference, where its handler moves the lines away after each trigger
# and appends them to an object, as the one for S3 does (seen with the amazon provider 9.39.0): there all of them last.
#
# Needs python3 with venv and a package index; starts an Airflow on the loopback address and ends it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "apache-airflow==3.3.2" "apache-airflow-core==3.3.2" \
  "apache-airflow-task-sdk==1.3.2" "apache-airflow-providers-standard==1.21.0" "httpx==0.28.1"

mkdir "$folder/dags"
cat >"$folder/dags/stages.py" <<'PYTHON'
import asyncio

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent


class Stage(BaseTrigger):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def serialize(self):
        return "stages.Stage", {"number": self.number}

    async def run(self):
        self.log.info("said by trigger %s", self.number)
        await asyncio.sleep(1)
        yield TriggerEvent(self.number)


class Stages(BaseOperator):
    def execute(self, context, event=0):
        self.log.info("said by worker %s", event)
        if event < 3:
            self.defer(trigger=Stage(event + 1), method_name="execute")


with DAG("stages", schedule=None):
    Stages(task_id="wait")
PYTHON

for name in ${!AIRFLOW@}; do unset "$name"; done
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
secret=$("$folder/venv/bin/python" -c 'import secrets; print(secrets.token_hex(32))')
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PATH="$folder/venv/bin:$PATH" PYTHONPATH="$folder/dags"
export AIRFLOW_HOME="$folder/home" AIRFLOW__CORE__DAGS_FOLDER="$folder/dags"
export AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__PARALLELISM=2
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$port" AIRFLOW__API__BASE_URL="http://127.0.0.1:$port"
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$port/execution/"
export AIRFLOW__API__SECRET_KEY="$secret" AIRFLOW__API_AUTH__JWT_SECRET="$secret"
export AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT=30

"$folder/venv/bin/python" - "http://127.0.0.1:$port" "$folder" >"$folder/output" <<'PYTHON'
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import httpx

url, folder = sys.argv[1], Path(sys.argv[2])
api = httpx.Client(base_url=url, timeout=60)
components = [["api-server"], ["scheduler", "--skip-serve-logs"], ["dag-processor"], ["triggerer", "--skip-serve-logs"]]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def start(*command):
    output = (folder / "components.log").open("ab")
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


def ended():
    return get(run)["state"] in ("success", "failed") and get(run)["state"]


if start("-c", "from airflow.utils.db import initdb; initdb()").wait():
    sys.exit("no database")
processes = [start("-m", "airflow", *component) for component in components]
try:
    until(lambda: all(part["status"] == "healthy" for part in get("monitor/health").values()))
    api.headers["Authorization"] = f"Bearer {api.get('/auth/token').json()['access_token']}"
    until(lambda: get("dags")["dags"])
    until(lambda: api.patch("/api/v2/dags/stages", json={"is_paused": False}).raise_for_status())
    started = until(lambda: api.post("/api/v2/dags/stages/dagRuns", json={"logical_date": None}).raise_for_status())
    run = f"dags/stages/dagRuns/{quote(started.json()['dag_run_id'], safe='')}"
    print(until(ended))
    for line in get(f"{run}/taskInstances/wait/logs/1?full_content=true")["content"]:
        if "said by" in line["event"]:
            print(line["event"])
    print("files:", len(list((folder / "home/logs").rglob("attempt=*"))))
finally:
    for process in processes:
        stop(process)
PYTHON

cat "$folder/output"
diff "$folder/output" - <<'EXPECTED'
success
said by worker 0
said by worker 1
said by worker 2
said by trigger 3
said by worker 3
files: 2
EXPECTED
echo "as described"
