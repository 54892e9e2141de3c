#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Airflow 3.3.2 (Task SDK 1.3.2): subscripts of what a task gets from a mapped task, a LazyXComSequence.
#
# Guess: it is a collections.abc.Sequence, so a subscript has the result that it has with a list, only later: any slice,
# and any integer, also one of NumPy, since the class asks for __index__.
#
# What happens: slices become LIMIT and OFFSET in the api-server's SQL (get_mapped_xcom_by_slice in
# airflow/api_fastapi/execution_api/routes/xcoms.py), without the clamping of a list. A slice that is empty, or that
# starts from the end and stops beyond it, gets a negative limit or offset. SQLite takes those for "no limit" and "from
# the start": [3:-3] of five outputs, nothing for a list, has the last two, and [-2:9] has all five instead of two.
# PostgreSQL refuses them, so that the api-server answers 500 and the same line fails (seen by hand with PostgreSQL 15).
# An integer of NumPy is converted, and refused all the same: the message says that indices must be integers, not int.
#
# Why it matters: outputs that were skipped are not in the sequence, so its length varies from run to run, and trimming
# (outputs[k:-k]) or a window from the end works until a run is short. With SQLite, the usual database of tests, it goes
# wrong in silence, in production loudly. Picking the best with argmax() never works. Slices with 0 <= start < stop,
# [-n:], [:-n] and [::-1] are right; otherwise take outputs[:], one request that returns a list.
#
# Needs python3 with venv and a package index; all runs in one process, without a server.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check "apache-airflow==3.3.2" "apache-airflow-core==3.3.2" \
  "apache-airflow-task-sdk==1.3.2" "apache-airflow-providers-standard==1.21.0" "numpy==2.4.6"

mkdir "$folder/dags"
cat >"$folder/dags/scores.py" <<'PYTHON'
import sys

import numpy
from airflow.sdk import dag, task


def value(sequence, subscript):
    try:
        return sequence[subscript]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@dag(schedule=None)
def scores():
    @task
    def score(number):
        return number

    @task
    def use(outputs):
        best = numpy.argmax(outputs[:])
        for text, subscript in {
            "[-2:]": slice(-2, None),
            "[::-1]": slice(None, None, -1),
            "[1:-1]": slice(1, -1),
            "[3:-3]": slice(3, -3),
            "[4:1]": slice(4, 1),
            "[-2:9]": slice(-2, 9),
            "[argmax]": best,
        }.items():
            print(f"{text} list: {value(outputs[:], subscript)}, lazy: {value(outputs, subscript)}", file=sys.stderr)

    use(score.expand(number=[10, 20, 30, 40, 50]))


run = scores()
if __name__ == "__main__":
    from airflow.utils.db import initdb

    initdb()
    print(f"run: {run.test().state}", file=sys.stderr)
PYTHON

for name in ${!AIRFLOW@}; do unset "$name"; done
export AIRFLOW_HOME="$folder/home" AIRFLOW__CORE__DAGS_FOLDER="$folder/dags"
export AIRFLOW__CORE__LOAD_EXAMPLES=False
"$folder/venv/bin/python" "$folder/dags/scores.py" >"$folder/log" 2>&1 || { tail -n 40 "$folder/log"; exit 1; }
grep -oE '(\[[^ ]+\] list: .*|run: [a-z]+$)' "$folder/log" >"$folder/output" || true

cat "$folder/output"
diff "$folder/output" - <<'EXPECTED'
[-2:] list: [40, 50], lazy: [40, 50]
[::-1] list: [50, 40, 30, 20, 10], lazy: [50, 40, 30, 20, 10]
[1:-1] list: [20, 30, 40], lazy: [20, 30, 40]
[3:-3] list: [], lazy: [40, 50]
[4:1] list: [], lazy: [50]
[-2:9] list: [40, 50], lazy: [10, 20, 30, 40, 50]
[argmax] list: 50, lazy: TypeError: Sequence indices must be integers or slices not int
run: success
EXPECTED
echo "as described"
