# SPDX-License-Identifier: Apache-2.0
"""The typed example is a DAG, too; mypy itself checks its types, since it is among the files in pyproject.toml."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.marks import needs_retry_policies


@needs_retry_policies
def test_it_is_a_dag() -> None:
    """Every public class works as in the example, mapped and unmapped, without network or database."""
    spec = importlib.util.spec_from_file_location("dag_author", Path(__file__).with_name("dag_author.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    tasks = module.dag.task_dict
    assert {"mapped", "land_each", "of_each_table", "upload_each", "decorated_otherwise"} == {
        name for name, task in tasks.items() if task.is_mapped
    }
    assert tasks["land_one"].upstream_task_ids == {"collect"}
    assert tasks["of_upstream"].upstream_task_ids == {"choose"}
    assert tasks["mapped"].upstream_task_ids == {"write_prompts"}
    assert tasks["of_rows"].upstream_task_ids == {"rows"}
    assert tasks["of_each_table"].upstream_task_ids == {"tables"}
    assert tasks["decorated_otherwise"].upstream_task_ids == {"write_prompts"}
