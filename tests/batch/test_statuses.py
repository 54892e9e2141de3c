# SPDX-License-Identifier: Apache-2.0
"""What is kept of EvoLink's reports while thousands of rows wait to be landed."""

from __future__ import annotations

import pytest

from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.generation import Generation, parse_generation
from airflow_provider_evolink.batch.statuses import StatusReader
from airflow_provider_evolink.polling.rate_limiter import RateLimiter
from tests import hostile
from tests.loopback import always, serving, settings_for

BILLING = {"charge_status": "charged", "refund_status": "not_required", "charged_credits": 3}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_failure_keeps_what_it_cost(status: str) -> None:
    """A failure that only ``billing`` shows as charged stays charged, so that no retry pays again."""
    failed = {**hostile.COMPLETED, "status": status, "usage": {}, "billing": BILLING}
    completed = {**hostile.COMPLETED, "id": "task-unified-1795786842-completed"}
    pending = {**hostile.COMPLETED, "id": "task-unified-1795786842-pending", "status": "processing", "results": []}
    with serving(always({"data": [failed, completed, pending]})) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            reports = await StatusReader(client, RateLimiter()).read([failed["id"], completed["id"], pending["id"]])

    ended = reports[failed["id"]]
    assert isinstance(ended, Generation)
    assert ended.was_charged
    for response in (completed, pending):
        report = reports[response["id"]]
        assert isinstance(report, Generation)
        assert report.raw == {}
        assert report == parse_generation(response)
