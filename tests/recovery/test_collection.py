# SPDX-License-Identifier: Apache-2.0
"""What is reported of generations that there is nothing to land of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from airflow_provider_evolink.api.generation import parse_generation
from airflow_provider_evolink.batch.entry import Status
from airflow_provider_evolink.recovery.collection import Collector
from tests import hostile


def test_a_failure_that_was_charged() -> None:
    """It has cost what only ``billing`` shows as charged."""
    billing = {"charge_status": "charged", "charged_credits": 7.5}
    failed = parse_generation({**hostile.COMPLETED, "status": "failed", "usage": {}, "billing": billing})
    nothing_to_land: Any = SimpleNamespace(refused=None)
    collector = Collector(lambda ids: dict.fromkeys(ids, failed), nothing_to_land, "{generation_id}.{ext}")

    [[outcome]] = collector.collect([failed.id])

    assert (outcome.status, outcome.credits_used) == (Status.FAILED, 7.5)
