# SPDX-License-Identifier: Apache-2.0
"""A distributed deployment: `make cluster`, and `make cluster TASKS=40` for a short run.

DAG and invariants are those of the chaos run, without its faults. Airflow runs as it would across machines (Celery,
PostgreSQL, two schedulers, two triggerers, two workers); one of each pair is killed on the way.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import running
from airflow_provider_evolink.emulator.settings import Settings
from tests.chaos import prompts
from tests.chaos.invariants import violations
from tests.cluster.database import Database
from tests.cluster.failover import HELD, FailoverExperiment
from tests.cluster.report import report
from tests.cluster.stack import running_cluster

LIMIT_SECONDS = 30 * 60.0
DAGS = Path(__file__).parents[1] / "chaos" / "dags"
log = logging.getLogger("cluster")
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.mark.cluster
@pytest.mark.timeout(LIMIT_SECONDS + 600)
def test_the_survivor_of_each_pair_takes_over_and_each_video_is_paid_for_once_and_lands(tmp_path: Path) -> None:
    """Each video is charged once, its file is what EvoLink delivers, nothing is left over, and every task succeeds."""
    log.info("%d videos, Celery with two of everything; the figures come at the end", prompts.count())
    media_dir, landed = tmp_path / "media", tmp_path / "landed"
    with running(Settings(clock=HELD, credits=1e6, media_dir=media_dir)) as evolink:
        connection = json.loads(evolink.airflow_connection) | {"extra": {"submit_timeout": 30}}
        env = {
            "AIRFLOW_CONN_EVOLINK_DEFAULT": json.dumps(connection),
            "AIRFLOW__EVOLINK__POSTERS": "False",  # the files that have landed are counted
            prompts.COUNT_VARIABLE: str(prompts.count()),
        }
        with (
            running_cluster(tmp_path / "airflow", DAGS, env) as (stack, address),
            closing(Database(address)) as database,
        ):
            experiment = FailoverExperiment(
                stack, evolink, media_dir, landed, log.info, database=database, limit=LIMIT_SECONDS
            )
            figures = experiment.run()
            facts = experiment.facts(None)
    log.info("\n%s\n\nLogs and files: %s", report(facts, figures), tmp_path)
    assert violations(facts) == []
    assert [take_over.name for take_over in figures.take_overs if take_over.seconds is None] == []
