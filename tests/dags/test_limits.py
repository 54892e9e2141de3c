"""What docs/scale.md says of Airflow's own limits, which differ from one version to the next."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def session() -> Any:
    """A session on Airflow's database."""
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as some:
        yield some


def test_a_tasks_own_limit_counts_deferred_instances_and_a_dags_limit_does_not() -> None:
    """`max_active_tis_per_dag` bounds what is under way at EvoLink; `max_active_tasks` only what holds a worker."""
    from airflow.ti_deps.dependencies_states import ACTIVE_STATES, EXECUTION_STATES
    from airflow.utils.state import TaskInstanceState

    assert TaskInstanceState.DEFERRED in ACTIVE_STATES
    assert TaskInstanceState.DEFERRED not in EXECUTION_STATES


@pytest.mark.parametrize("includes", [True, False])
def test_a_pool_counts_deferred_instances_only_if_it_is_told_to(session: Any, includes: bool) -> None:
    """Without `--include-deferred` a pool does not bound what is under way at EvoLink."""
    from airflow.models.pool import Pool
    from airflow.utils.state import TaskInstanceState

    pool = Pool.create_or_update_pool(name="limits", slots=4, description="", include_deferred=includes)

    assert (TaskInstanceState.DEFERRED in pool.get_occupied_states()) is includes


def test_a_list_that_a_task_returns_can_be_mapped_up_to_a_thousand_unless_airflow_is_told() -> None:
    """`[core] max_map_length` is 1,024 by default."""
    from airflow.configuration import conf

    assert conf.getint("core", "max_map_length") == 1024
