"""
The long run: `make chaos`, `make chaos SEED=7`, and `make chaos TASKS=20` for a short one.

Many mapped generations at once, every fault of the emulator active all the time, and an Airflow on PostgreSQL with two
triggerers, whose parts are killed every few seconds.
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
from tests.chaos import strikes, weather, wishes
from tests.chaos.report import Figures, report
from tests.chaos.storm import DAG, Storm
from tests.chaos.verdict import complaints
from tests.crash.postgres import running_postgres
from tests.crash.stack import CrashStack

LIMIT_SECONDS = 40 * 60.0
# Half a minute for a generation: long enough to be killed in, short enough for the run.
PACE = 2.0
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "12",
    # A task whose executor died between taking it and starting it.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "20",
}
log = logging.getLogger("chaos")
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.mark.chaos
@pytest.mark.timeout(LIMIT_SECONDS + 600)
def test_whatever_fails_and_whoever_dies_each_video_is_paid_for_once_and_lands(tmp_path: Path) -> None:
    """Each wish is charged once, its file is what EvoLink delivers, nothing is left over, and every task succeeds.

    A whole run, of 200, must also have seen every fault and every kill.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    log.info("seed %d, %d videos", seed, wishes.count())
    emulated = Settings(clock=PACE, credits=1e6, seed=seed, media_dir=tmp_path / "films")
    with running(emulated) as evolink, running_postgres(tmp_path / "airflow") as (processes, database):
        extra = {"timeout": weather.TIMEOUT, "submit_timeout": weather.SUBMIT_TIMEOUT}
        env = SETTINGS | {
            "AIRFLOW_CONN_EVOLINK_DEFAULT": json.dumps(json.loads(evolink.airflow_connection) | {"extra": extra}),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            wishes.COUNT_VARIABLE: str(wishes.count()),
        }
        dags = Path(__file__).parent / "dags"
        with CrashStack(tmp_path / "airflow", env, 2, processes, dag=DAG, dags=dags) as stack:
            weather.break_out(evolink.control)
            storm = Storm(stack, evolink, tmp_path / "films", tmp_path / "landed", log.info)
            killer = strikes.Killer(stack, strikes.plan(seed), seed, log.info)
            seconds = storm.ride_out(killer, LIMIT_SECONDS)
            stack.revive()
            stack.wait_until("Airflow's components", lambda: not stack.api.missing(), timeout=120)
            facts = storm.facts(LIMIT_SECONDS if seconds >= LIMIT_SECONDS else None)
            figures = Figures(seed, evolink.control.state(), killer.done, seconds)
    log.info("\n%s\n\nLogs and files: %s", report(facts, figures), tmp_path)
    assert complaints(facts) == []
    if wishes.count() >= wishes.COUNT:
        assert figures.spared(card.victim for card in strikes.DECK) == []
