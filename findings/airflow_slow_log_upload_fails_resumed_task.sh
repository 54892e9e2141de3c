#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Airflow 3.3.2 (LocalExecutor) with the amazon provider 9.39.0: a task that defers, while S3 is slow to take its log.
#
# Guess: a slow log store delays the log, at worst it loses lines. Remote logging is best effort, an upload that fails
# is only logged, and no state of a task depends on it.
#
# What happens: the task is deferred, its trigger fires, and it runs again, all while the log of its first stay is being
# uploaded. Only after the upload does the executor report the end of that stay. Both stays have the same key, so the
# report makes the executor forget the second, and the scheduler sees a task that runs although no executor has it: it
# must have been killed from outside (the "state mismatch" in airflow/jobs/scheduler_job_runner.py, which spares a task
# that waits to resume, not one that has resumed). The scheduler marks it as failed, and the worker then kills the
# second stay in the middle of its work. Besides, the first line of that stay is in no log: the upload empties the file
# of both stays, with what was added after it had been read.
#
# Why it matters: every wait that ends before the log is uploaded is at risk; here S3 takes 20 seconds, as for a large
# log or a busy store. The error blames something outside Airflow. A retry starts with execute() again, so an operator
# that submits paid work there pays twice unless it has recorded what it submitted. A quick store, or local logs, leave
# a gap of a fraction of a second.
#
# Needs python3 with venv and a package index; starts moto and an Airflow on the loopback address and ends them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "apache-airflow==3.3.2" "apache-airflow-core==3.3.2" \
  "apache-airflow-task-sdk==1.3.2" "apache-airflow-providers-standard==1.21.0" "httpx==0.28.1" \
  "apache-airflow-providers-amazon==9.39.0" "boto3==1.44.8" "botocore==1.44.8" "moto[server]==5.2.5"

mkdir "$folder/dags"
cat >"$folder/dags/stays.py" <<'PYTHON'
import time
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator


class Stays(BaseOperator):
    def execute(self, context):
        self.log.info("said in stay 1")
        self.defer(trigger=TimeDeltaTrigger(timedelta(0)), method_name="resume")

    def resume(self, context, event):
        self.log.info("said in stay 2, at the start")
        time.sleep(40)
        self.log.info("said in stay 2, at the end")


with DAG("stays", schedule=None):
    Stays(task_id="wait")
PYTHON

cat >"$folder/slow_store.py" <<'PYTHON'
import sys
import time

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

store = DomainDispatcherApplication(create_backend_app)


def slow(environ, start_response):
    if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith("attempt=1.log"):
        time.sleep(20)
    return store(environ, start_response)


run_simple("127.0.0.1", int(sys.argv[1]), slow, threaded=True)
PYTHON

free_port() {
  "$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
for name in ${!AIRFLOW@} ${!AWS@}; do unset "$name"; done
port=$(free_port) store_port=$(free_port)
secret=$("$folder/venv/bin/python" -c 'import secrets; print(secrets.token_hex(32))')
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PATH="$folder/venv/bin:$PATH"
export AIRFLOW_HOME="$folder/home" AIRFLOW__CORE__DAGS_FOLDER="$folder/dags"
export AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__PARALLELISM=2
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$port" AIRFLOW__API__BASE_URL="http://127.0.0.1:$port"
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$port/execution/"
export AIRFLOW__API__SECRET_KEY="$secret" AIRFLOW__API_AUTH__JWT_SECRET="$secret"
export AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT=30
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
export AWS_ENDPOINT_URL="http://127.0.0.1:$store_port" AIRFLOW_CONN_AWS_DEFAULT=aws://
export AIRFLOW__LOGGING__REMOTE_LOGGING=True AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID=aws_default
export AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER=s3://logs/tasks

"$folder/venv/bin/python" - "http://127.0.0.1:$port" "$folder" "$store_port" >"$folder/output" <<'PYTHON'
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import boto3
import httpx
from botocore.exceptions import BotoCoreError

url, folder, store_port = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
api = httpx.Client(base_url=url, timeout=60)
store = boto3.client("s3")
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
        except (httpx.HTTPError, BotoCoreError):
            pass
        time.sleep(1)
    sys.exit("time out")


def get(path):
    return api.get(f"/api/v2/{path}").raise_for_status().json()


def ended():
    return get(run)["state"] in ("success", "failed") and get(run)["state"]


def complete_log():
    lines = [str(line["event"]) for line in get(f"{run}/taskInstances/wait/logs/1?full_content=true")["content"]]
    return "Task killed!" in lines and lines


if start("-c", "from airflow.utils.db import initdb; initdb()").wait():
    sys.exit("no database")
processes = [start(str(folder / "slow_store.py"), store_port)]
try:
    until(lambda: store.create_bucket(Bucket="logs"))
    processes += [start("-m", "airflow", *component) for component in components]
    until(lambda: all(part["status"] == "healthy" for part in get("monitor/health").values()))
    api.headers["Authorization"] = f"Bearer {api.get('/auth/token').json()['access_token']}"
    until(lambda: get("dags")["dags"])
    until(lambda: api.patch("/api/v2/dags/stays", json={"is_paused": False}).raise_for_status())
    started = until(lambda: api.post("/api/v2/dags/stays/dagRuns", json={"logical_date": None}).raise_for_status())
    run = f"dags/stays/dagRuns/{quote(started.json()['dag_run_id'], safe='')}"
    print("run:", until(ended))
    for event in get("eventLogs?event=state mismatch")["event_logs"]:
        print(f"{event['event']}:", *re.findall("finished with state [a-z]+|attribute is [a-z]+", event["extra"]))
    print("log:", *(line for line in until(complete_log) if "said" in line or "killed" in line), sep="\n  ")
finally:
    for process in reversed(processes):
        stop(process)
PYTHON

cat "$folder/output"
diff "$folder/output" - <<'EXPECTED'
run: failed
state mismatch: finished with state success attribute is running
log:
  said in stay 1
  Task killed!
EXPECTED
echo "as described"
