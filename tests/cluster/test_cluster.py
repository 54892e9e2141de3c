"""
Past one machine: `make cluster`, and `make cluster TASKS=40` for a short one.

The DAG and the verdict are those of the chaos run, without its faults. Airflow is one that could be spread over many
machines: Celery, PostgreSQL, two schedulers, two triggerers, two workers; one of each is killed on the way.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_evolink.emulator.server import running
from airflow_provider_evolink.emulator.settings import Settings
from tests.chaos import wishes
from tests.chaos.verdict import complaints
from tests.cluster.course import HELD, Course
from tests.cluster.database import Database
from tests.cluster.report import report
from tests.cluster.stack import running_cluster

LIMIT_SECONDS = 30 * 60.0
DAGS = Path(__file__).parents[1] / "chaos" / "dags"
log = logging.getLogger("cluster")
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.mark.cluster
@pytest.mark.timeout(LIMIT_SECONDS + 600)
def test_whoever_of_a_pair_dies_the_other_takes_over_and_each_video_is_paid_for_once_and_lands(tmp_path: Path) -> None:
    """Each wish is charged once, its file is what EvoLink delivers, nothing is left over, and every task succeeds."""
    log.info("%d videos, Celery with two of everything; the figures come at the end", wishes.count())
    films, landed = tmp_path / "films", tmp_path / "landed"
    with running(Settings(clock=HELD, credits=1e6, media_dir=films)) as evolink:
        connection = json.loads(evolink.airflow_connection) | {"extra": {"submit_timeout": 30}}
        env = {
            "AIRFLOW_CONN_EVOLINK_DEFAULT": json.dumps(connection),
            wishes.COUNT_VARIABLE: str(wishes.count()),
        }
        with (
            running_cluster(tmp_path / "airflow", DAGS, env) as (stack, address),
            closing(Database(address)) as database,
        ):
            course = Course(stack, evolink, films, landed, log.info, database=database, limit=LIMIT_SECONDS)
            figures = course.run()
            facts = course.facts(None)
    log.info("\n%s\n\nLogs and files: %s", report(facts, figures), tmp_path)
    assert complaints(facts) == []
    assert [one.name for one in figures.take_overs if one.seconds is None] == []
