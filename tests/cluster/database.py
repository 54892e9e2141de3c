# SPDX-License-Identifier: Apache-2.0
"""Reads from Airflow's database what its REST API does not expose: which component holds what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from sqlalchemy import bindparam, create_engine, text

IN_PROGRESS = ("queued", "running")
_STATES = "SELECT task_id, COALESCE(state, 'none') AS state, count(*) AS n FROM task_instance GROUP BY 1, 2"
_JOBS = "SELECT id FROM job WHERE job_type = :kind AND state = 'running' ORDER BY id"
_TRIGGERS = "SELECT count(*) AS n FROM trigger WHERE triggerer_id = :job"
_OF_SCHEDULER = "SELECT count(*) AS n FROM task_instance WHERE queued_by_job_id = :job AND state IN :in_progress"
_RUNNING_IN = "SELECT id, try_number FROM task_instance WHERE state = 'running' AND pid IN :pids"
_TRIES = "SELECT id, try_number, state FROM task_instance WHERE id IN :ids"
_STARTS = """
    SELECT EXTRACT(EPOCH FROM start_date)::float AS started FROM task_instance
    WHERE start_date BETWEEN to_timestamp(:since) AND to_timestamp(:since + 60) ORDER BY 1
"""
_SIZE = "SELECT pg_database_size(current_database()) AS bytes"


class Database:
    """Airflow's database, read only.

    :param address: its URL for SQLAlchemy.
    """

    def __init__(self, address: str) -> None:
        self._engine = create_engine(address, isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def states(self) -> dict[str, Counter[str]]:
        """Count the task instances of each task by state."""
        found: dict[str, Counter[str]] = {}
        for row in self._rows(_STATES):
            found.setdefault(row.task_id.rpartition(".")[2], Counter())[row.state] = row.n
        return found

    def jobs(self, kind: str) -> list[int]:
        """Return the ids of the running jobs of a kind, oldest first."""
        return [row.id for row in self._rows(_JOBS, kind=kind)]

    def triggers_of(self, job: int) -> int:
        """Count the triggers that a triggerer holds."""
        return int(self._rows(_TRIGGERS, job=job)[0].n)

    def tasks_of_scheduler(self, job: int) -> int:
        """Count the queued and running tasks of a scheduler."""
        return int(self._rows(_OF_SCHEDULER, job=job, in_progress=IN_PROGRESS)[0].n)

    def running_in(self, pids: Iterable[int]) -> dict[str, int]:
        """Return the task instances that run in some processes, with their try numbers."""
        return {str(row.id): row.try_number for row in self._rows(_RUNNING_IN, pids=tuple(pids) or (0,))}

    def are_past(self, tries: dict[str, int]) -> bool:
        """Return whether all of some task instances are in a later attempt, or need none."""
        rows = self._rows(_TRIES, ids=tuple(tries)) if tries else []
        return all(_is_past(row, tries[str(row.id)]) for row in rows)

    def longest_pause(self, since: float) -> float:
        """Return the longest time without a task start, in seconds, within the minute after a moment."""
        moments = [row.started for row in self._rows(_STARTS, since=since)]
        return max((later - earlier for earlier, later in pairwise([since, *moments])), default=0.0)

    def size(self) -> int:
        """Return the size of the database in bytes."""
        return int(self._rows(_SIZE)[0].bytes)

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        lists = [bindparam(name, expanding=True) for name, value in values.items() if isinstance(value, tuple)]
        with self._engine.connect() as connection:
            return list(connection.execute(text(statement).bindparams(*lists), values))


def _is_past(row: Any, before: int) -> bool:
    if row.state in {"success", "deferred"}:
        return True
    return bool(row.try_number > before and row.state == "running")
