# SPDX-License-Identifier: Apache-2.0
"""The query limit: documented, off by default, in emulated time."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from airflow_provider_evolink.emulator.client import ControlError
from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings


def test_there_is_no_limit_by_default(api):
    """Without a query limit, any number of queries succeeds."""
    generation_id = api.submit()
    assert {api.http.get(f"/v1/tasks/{generation_id}").status_code for _ in range(100)} == {200}
    assert api.control.state()["rate_limited_queries"] == 0


def test_queries_beyond_the_limit_are_rejected_as_documented(api):
    """A query beyond the limit, single or batch, gets the documented 429 with the same seconds in Retry-After."""
    generation_id = api.submit()
    api.control.set_query_limit(3)
    for _ in range(2):
        assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200
    assert api.http.post("/v1/tasks/batch", json={"task_ids": [generation_id]}).status_code == 200

    for response in (
        api.http.get(f"/v1/tasks/{generation_id}"),
        api.http.post("/v1/tasks/batch", json={"task_ids": [generation_id]}),
    ):
        error = response.json()["error"]
        assert response.status_code == 429
        assert 58 <= error["retry_after"] <= 60
        assert response.headers["retry-after"] == str(error["retry_after"])
        assert error == {
            "code": "rate_limit_exceeded",
            "message": f"max 3 requests per 1 minutes. Retry after {error['retry_after']} seconds.",
            "type": "rate_limit_error",
            "param": None,
            "retry_after": error["retry_after"],
            "retryable": True,
        }
    assert api.control.state()["rate_limited_queries"] == 2


def test_nothing_else_is_limited(api):
    """Submissions, the list and credits do not count against the query limit."""
    api.control.set_query_limit(1)
    generation_id = api.submit()
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 429
    assert api.http.get("/v1/tasks").status_code == 200
    assert api.http.get("/v1/credits").status_code == 200
    api.submit()


def test_the_limit_is_per_emulated_minute(api):
    """Moving the clock forward frees the limit, and `retry_after` is in real seconds."""
    generation_id = api.submit()
    api.control.set_query_limit(2)
    api.read(generation_id)
    api.control.advance(30)
    api.read(generation_id)
    assert 28 <= api.read(generation_id)["error"]["retry_after"] <= 30
    api.control.advance(30)
    assert "error" not in api.read(generation_id)
    assert "error" in api.read(generation_id)

    api.control.set_speed(10)
    assert 1 <= api.read(generation_id)["error"]["retry_after"] <= 3


def test_the_limit_can_be_changed_and_removed(api):
    """Earlier queries count towards a lower limit, None removes it, and an invalid limit is rejected."""
    generation_id = api.submit()
    api.control.set_query_limit(10)
    assert [api.http.get(f"/v1/tasks/{generation_id}").status_code for _ in range(5)] == [200] * 5
    api.control.set_query_limit(2)
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 429
    api.control.set_query_limit(None)
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200
    for wrong in (0, -1, 1.5, True, "60"):
        with pytest.raises(ControlError, match=re.escape(f"`query_limit`={wrong!r} is invalid")):
            api.control.set_query_limit(wrong)


@pytest.fixture
def limited() -> Iterator[EmulatorHandle]:
    """An emulator that starts with a query limit and two API keys."""
    with running(Settings(api_keys=("one", "two"), query_limit=2)) as emulator:
        yield emulator


def test_each_api_key_has_its_own_limit(limited):
    """A query counts against its own API key only, and not at all if the API key is wrong."""
    with httpx.Client(base_url=limited.url, trust_env=False) as client:

        def query(api_key: str) -> int:
            headers = {"Authorization": f"Bearer {api_key}"}
            return client.get("/v1/tasks/task-unified-1-x", headers=headers).status_code

        assert [query("wrong") for _ in range(5)] == [401] * 5
        assert [query("one") for _ in range(3)] == [404, 404, 429]
        assert [query("two") for _ in range(3)] == [404, 404, 429]
        limited.control.reset()
        assert [query("one") for _ in range(3)] == [404, 404, 429]


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_limits_below_one_are_rejected(limit):
    """An invalid limit on the command line ends with exit code 2 and the name of the option."""
    command = [sys.executable, "-m", "airflow_provider_evolink.emulator", "--query-limit", limit]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 2
    assert "--query-limit" in result.stderr
