# SPDX-License-Identifier: Apache-2.0
"""Reads Airflow's database: less work for what is measured than its REST API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.batch.measured import ASSET_STATE, TASK_STATE

_RUN = "SELECT state, EXTRACT(EPOCH FROM start_date)::float AS started FROM dag_run WHERE run_id = :run_id"
_RETRIED = "SELECT count(*) AS n FROM task_instance WHERE run_id = :run_id AND try_number > 1"
_WRITES = """
    SELECT relname AS name, n_tup_ins + n_tup_upd AS n FROM pg_stat_user_tables
    WHERE relname IN (:task_state, :asset_state)
"""
# PostgreSQL's processes report their counts when they have been idle for ten seconds.
COUNTED_AFTER_SECONDS = 11.0


class Database:
    """Airflow's database.

    :param address: its URL for SQLAlchemy.
    """

    def __init__(self, address: str) -> None:
        self._engine = create_engine(address, isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def run(self, run_id: str) -> tuple[str, float | None]:
        """Return the state of a DAG run, and when the scheduler started it, in seconds since the epoch."""
        [row] = self._rows(_RUN, run_id=run_id)
        return row.state, row.started

    def retried(self, run_id: str) -> int:
        """Count the task instances of a DAG run that needed more than one try."""
        return int(self._rows(_RETRIED, run_id=run_id)[0].n)

    def state_store_writes(self) -> dict[str, int]:
        """Return the rows that were inserted or updated in each table of the state store until 11 seconds ago."""
        return {row.name: row.n for row in self._rows(_WRITES, task_state=TASK_STATE, asset_state=ASSET_STATE)}

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(statement), values))
