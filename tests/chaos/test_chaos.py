# SPDX-License-Identifier: Apache-2.0
"""The chaos run: `make chaos`, `make chaos SEED=7`, and `make chaos TASKS=20` for a short one.

Many mapped generations at once, every fault of the emulator active all the time, and an Airflow on PostgreSQL with two
triggerers, parts of which are killed every few seconds.
"""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.postgres import running_postgres
from tests.chaos import fault_profile, kill_schedule, prompts
from tests.chaos.experiment import DAG, Experiment
from tests.chaos.invariants import violations
from tests.chaos.report import Figures, report
from tests.crash.stack import CrashStack

LIMIT_SECONDS = 40 * 60.0
# Half a minute per generation: long enough to be killed in, short enough for the run.
PACE = 2.0
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "12",
    # For a task whose executor died between queueing and starting it.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "20",
}
log = logging.getLogger("chaos")
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.mark.chaos
@pytest.mark.timeout(LIMIT_SECONDS + 600)
def test_under_faults_and_kills_each_video_is_paid_for_once_and_lands(tmp_path: Path) -> None:
    """Each video is charged once, its file is what EvoLink delivers, nothing is left over, and every task succeeds."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    log.info("seed %d, %d videos", seed, prompts.count())
    emulated = Settings(clock=PACE, credits=1e6, seed=seed, media_dir=tmp_path / "media")
    with running(emulated) as evolink, running_postgres(tmp_path / "airflow") as (processes, database):
        extra = {"timeout": fault_profile.TIMEOUT, "submit_timeout": fault_profile.SUBMIT_TIMEOUT}
        env = SETTINGS | {
            "AIRFLOW_CONN_EVOLINK_DEFAULT": json.dumps(json.loads(evolink.airflow_connection) | {"extra": extra}),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            prompts.COUNT_VARIABLE: str(prompts.count()),
        }
        dags = Path(__file__).parent / "dags"
        with CrashStack(tmp_path / "airflow", env, 2, processes, dag=DAG, dags=dags) as stack:
            fault_profile.activate(evolink.control)
            experiment = Experiment(stack, evolink, tmp_path / "media", tmp_path / "landed", log.info)
            killer = kill_schedule.Killer(stack, kill_schedule.schedule(seed), seed, log.info)
            seconds = experiment.run_under_kills(killer, LIMIT_SECONDS)
            stack.restart_dead()
            stack.wait_until("Airflow's components", lambda: not stack.api.missing(), timeout=120)
            facts = experiment.facts(LIMIT_SECONDS if seconds >= LIMIT_SECONDS else None)
            figures = Figures(seed, evolink.control.state(), killer.done, seconds)
    log.info("\n%s\n\nLogs and files: %s", report(facts, figures), tmp_path)
    assert violations(facts) == []
    if prompts.count() >= prompts.COUNT:  # a full run must also have exercised every fault and every kill
        assert figures.not_exercised(entry.target for entry in kill_schedule.ROUND) == []
