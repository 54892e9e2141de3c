# SPDX-License-Identifier: Apache-2.0
"""The chaos run: `make chaos`, `make chaos SEED=7`, `make chaos TASKS=20` for a short one, `make chaos BATCHES=3`.

Many generations at once, each made by a mapped task of its own or all of them by a few batches, every fault of the
emulator active all the time, and an Airflow on PostgreSQL with two triggerers, parts of which are killed every few
seconds.
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from testkit.postgres import running_postgres
from tests.chaos import batch_experiment, experiment, fault_profile, invariants, kill_schedule, prompts
from tests.chaos.batch_experiment import BatchExperiment
from tests.chaos.experiment import Experiment
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


pytestmark = [pytest.mark.chaos, pytest.mark.timeout(LIMIT_SECONDS + 600)]


@contextmanager
def airflow_under_faults(folder: Path, seed: int, dag_id: str) -> Iterator[tuple[CrashStack, EmulatorHandle]]:
    """Run an Airflow for one DAG with an EvoLink on which every fault is active."""
    log.info("seed %d, %d videos", seed, prompts.count())
    emulated = Settings(clock=PACE, credits=1e6, seed=seed, media_dir=folder / "media")
    with running(emulated) as evolink, running_postgres(folder / "airflow") as (processes, database):
        extra = {"timeout": fault_profile.TIMEOUT, "submit_timeout": fault_profile.SUBMIT_TIMEOUT}
        env = SETTINGS | {
            "AIRFLOW_CONN_EVOLINK_DEFAULT": json.dumps(json.loads(evolink.airflow_connection) | {"extra": extra}),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            prompts.COUNT_VARIABLE: str(prompts.count()),
            prompts.BATCHES_VARIABLE: str(prompts.batches()),
        }
        dags = Path(__file__).parent / "dags"
        with CrashStack(folder / "airflow", env, 2, processes, dag_ids=[dag_id], dags=dags) as stack:
            fault_profile.activate(evolink.control)
            yield stack, evolink


def run_to_the_end(run: Experiment, killer: kill_schedule.Killer) -> tuple[float, float | None]:
    """Run the experiment and let Airflow recover; return the seconds it took, and again if it was given up."""
    seconds = run.run_under_kills(killer, LIMIT_SECONDS)
    run.stack.restart_dead()
    run.stack.wait_until("Airflow's components", lambda: not run.stack.api.missing(), timeout=120)
    return seconds, LIMIT_SECONDS if seconds >= LIMIT_SECONDS else None


@pytest.fixture
def seed() -> int:
    """What the faults and the kills follow from."""
    return int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))


@pytest.mark.skipif(prompts.batches() > 0, reason="the videos are made in batches")
def test_under_faults_and_kills_each_video_is_paid_for_once_and_lands(tmp_path: Path, seed: int) -> None:
    """Each video is charged once, its file is what EvoLink delivers, nothing is left over, and every task succeeds."""
    with airflow_under_faults(tmp_path, seed, experiment.DAG) as (stack, evolink):
        run = Experiment(stack, evolink, tmp_path / "media", tmp_path / "landed", log.info)
        killer = kill_schedule.Killer(stack, kill_schedule.schedule(seed), seed, log.info)
        seconds, timeout = run_to_the_end(run, killer)
        facts = run.facts(timeout)
        figures = Figures(seed, evolink.control.state(), killer.done, seconds)
    wrong = invariants.violations(facts)
    log.info("\n%s\n\nLogs and files: %s", report(facts, wrong, figures), tmp_path)
    assert wrong == []
    if prompts.count() >= prompts.COUNT:  # a full run must also have exercised every fault and every kill
        assert figures.not_exercised(entry.target for entry in kill_schedule.ROUND) == []


@pytest.mark.skipif(prompts.batches() == 0, reason="each video is made by a task of its own")
def test_under_faults_and_kills_each_row_is_paid_for_once_and_lands(tmp_path: Path, seed: int) -> None:
    """Each row is charged once, its file is what EvoLink delivers, and the manifests say so; nothing is left over."""
    with airflow_under_faults(tmp_path, seed, batch_experiment.DAG) as (stack, evolink):
        run = BatchExperiment(stack, evolink, tmp_path / "media", tmp_path / "landed", log.info)
        killer = kill_schedule.Killer(stack, kill_schedule.batch_schedule(seed), seed, log.info)
        seconds, timeout = run_to_the_end(run, killer)
        facts = run.facts_of_batches(timeout)
        figures = Figures(seed, evolink.control.state(), killer.done, seconds)
    wrong = batch_experiment.violations(facts)
    log.info("\n%s\n\nLogs and files: %s", report(facts, wrong, figures), tmp_path)
    log.info("not exercised: %s", figures.not_exercised(entry.target for entry in kill_schedule.BATCH_ROUND))
    assert wrong == []
