# SPDX-License-Identifier: Apache-2.0
"""A mapped batch is checked when its DAG file is parsed, like any other."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("destination", "videos"),
        ("filename_pattern", "{index}.{ext}"),
        ("max_in_flight", 0),
        ("max_credits", -1),
        ("max_failed", 1.5),
        ("on_existing", "skip"),
        ("on_clear", "never"),
        ("manifest", "../rows.jsonl"),
    ],
)
def test_invalid_literals_are_refused_at_parse_time(name: str, value: Any) -> None:
    """What is written out and can't work is refused before any mapped task runs."""
    with pytest.raises(EvoLinkFailException, match=name):
        EvoLinkBatchOperator.partial(task_id="task", key="sku", **{"destination": "/videos", name: value})


def test_what_is_expanded_or_templated_is_checked_when_it_runs() -> None:
    """Rows, destinations and templates may differ between the mapped tasks."""
    with DAG("dag", schedule=None):
        mapped = EvoLinkBatchOperator.partial(
            task_id="task", key="sku", model="m", max_in_flight="{{ params.window }}", filename_pattern="{{ ds }}/{key}"
        ).expand_kwargs([{"requests": "/a.csv", "destination": "/a"}, {"requests": "/b.csv", "destination": "/b"}])

    assert mapped.operator_class is EvoLinkBatchOperator
