# SPDX-License-Identifier: Apache-2.0
"""What docs/explanation/scale.md says about Airflow's own limits, which differ between versions."""

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


def test_a_dags_limit_counts_no_deferred_instances() -> None:
    """`max_active_tasks` limits tasks on workers only, not generations at EvoLink."""
    from airflow.ti_deps.dependencies_states import EXECUTION_STATES
    from airflow.utils.state import TaskInstanceState

    assert TaskInstanceState.DEFERRED not in EXECUTION_STATES


def test_a_tasks_own_limit_counts_deferred_instances() -> None:
    """`max_active_tis_per_dag` limits generations at EvoLink."""
    from airflow.ti_deps import dependencies_states
    from airflow.utils.state import TaskInstanceState

    if not hasattr(dependencies_states, "ACTIVE_STATES"):
        pytest.skip("Before 3.2 max_active_tis_per_dag does not count deferred instances, as the docs say")
    assert TaskInstanceState.DEFERRED in dependencies_states.ACTIVE_STATES


@pytest.mark.parametrize("includes", [True, False])
def test_a_pool_counts_deferred_instances_only_if_configured(session: Any, includes: bool) -> None:
    """Without `--include-deferred` a pool does not limit generations at EvoLink."""
    from airflow.models.pool import Pool
    from airflow.utils.state import TaskInstanceState

    pool = Pool.create_or_update_pool(name="limits", slots=4, description="", include_deferred=includes)

    assert (TaskInstanceState.DEFERRED in pool.get_occupied_states()) is includes


def test_a_task_can_be_mapped_over_1024_values_by_default() -> None:
    """`[core] max_map_length` is 1,024 by default."""
    from airflow.configuration import conf

    assert conf.getint("core", "max_map_length") == 1024
