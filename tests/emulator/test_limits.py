# SPDX-License-Identifier: Apache-2.0
"""The limit of queries: documented, off unless asked for, in emulated time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from airflow_provider_evolink.emulator.control import ControlError
from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings


def test_without_the_switch_there_is_no_limit(api):
    """Any number of queries is answered."""
    generation_id = api.submit()
    assert {api.http.get(f"/v1/tasks/{generation_id}").status_code for _ in range(100)} == {200}
    assert api.control.state()["limited_queries"] == 0


def test_a_query_too_many_is_answered_as_documented(api):
    """429 with the documented body, and the same seconds in the header; one generation and a batch count alike."""
    generation_id = api.submit()
    api.control.limit_queries(3)
    for _ in range(2):
        assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200
    assert api.http.post("/v1/tasks/batch", json={"task_ids": [generation_id]}).status_code == 200

    for refused in (
        api.http.get(f"/v1/tasks/{generation_id}"),
        api.http.post("/v1/tasks/batch", json={"task_ids": [generation_id]}),
    ):
        error = refused.json()["error"]
        assert refused.status_code == 429
        assert 58 <= error["retry_after"] <= 60
        assert refused.headers["retry-after"] == str(error["retry_after"])
        assert error == {
            "code": "rate_limit_exceeded",
            "message": f"max 3 requests per 1 minutes. Retry after {error['retry_after']} seconds.",
            "type": "rate_limit_error",
            "param": None,
            "retry_after": error["retry_after"],
            "retryable": True,
        }
    assert api.control.state()["limited_queries"] == 2


def test_nothing_else_is_limited(api):
    """Submissions, the list, credits and media have limits of their own, if any."""
    api.control.limit_queries(1)
    generation_id = api.submit()
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 429
    assert api.http.get("/v1/tasks").status_code == 200
    assert api.http.get("/v1/credits").status_code == 200
    api.submit()


def test_a_minute_is_an_emulated_one(api):
    """Time that is pushed forward frees the limit, and a wait is told in the client's own seconds."""
    generation_id = api.submit()
    api.control.limit_queries(2)
    api.read(generation_id)
    api.control.advance(30)
    api.read(generation_id)
    assert 28 <= api.read(generation_id)["error"]["retry_after"] <= 30
    api.control.advance(30)
    assert "error" not in api.read(generation_id)
    assert "error" in api.read(generation_id)

    api.control.run_at(10)
    assert 1 <= api.read(generation_id)["error"]["retry_after"] <= 3


def test_a_limit_can_be_changed_and_lifted(api):
    """What has passed counts towards a lower limit; without one everything passes; nonsense is refused."""
    generation_id = api.submit()
    api.control.limit_queries(10)
    assert [api.http.get(f"/v1/tasks/{generation_id}").status_code for _ in range(5)] == [200] * 5
    api.control.limit_queries(2)
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 429
    api.control.limit_queries(None)
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200
    for wrong in (0, -1, 1.5, True, "60"):
        with pytest.raises(ControlError, match="query_limit must be a whole number"):
            api.control.limit_queries(wrong)


@pytest.fixture
def limited() -> Iterator[EmulatorHandle]:
    """An emulator that is started with a limit, and two keys."""
    with running(Settings(keys=("one", "two"), query_limit=2)) as emulator:
        yield emulator


def test_each_key_has_its_own(limited):
    """A key that has asked too often takes nothing from another; a wrong key takes nothing at all."""
    with httpx.Client(base_url=limited.url, trust_env=False) as client:

        def ask(key: str) -> int:
            return client.get("/v1/tasks/task-unified-1-x", headers={"Authorization": f"Bearer {key}"}).status_code

        assert [ask("wrong") for _ in range(5)] == [401] * 5
        assert [ask("one") for _ in range(3)] == [404, 404, 429]
        assert [ask("two") for _ in range(3)] == [404, 404, 429]
        limited.control.reset()
        assert [ask("one") for _ in range(3)] == [404, 404, 429]


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_no_limit_is_less_than_one(wrong):
    """What cannot be run ends with usage."""
    command = [sys.executable, "-m", "airflow_provider_evolink.emulator", "--query-limit", wrong]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 2
    assert "--query-limit" in result.stderr
