# SPDX-License-Identifier: Apache-2.0
"""The client of Airflow's REST API: all pages, and retries while the database is locked."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from demo.session import POOL_DESCRIPTION, POOL_SLOTS
from testkit.airflow_api import AirflowApi
from tests.loopback import ReceivedRequest, Write, http_response, serving

MANY = [{"task_id": "generate", "map_index": number} for number in range(250)]


async def airflow(request: ReceivedRequest, write: Write) -> None:
    """Respond as Airflow does: with the requested page, and never with more than 100 entries."""
    if request.target == "/auth/token":
        return await write(http_response({"access_token": "t"}))
    query = parse_qs(urlsplit(request.target).query)
    offset, limit = (int(query.get(name, ["0"])[0]) for name in ("offset", "limit"))
    page = MANY[offset : offset + min(limit, 100)]
    return await write(http_response({"task_instances": page, "total_entries": len(MANY)}))


def test_all_task_instances_of_a_large_run_are_found() -> None:
    """Airflow returns at most 100 task instances per page, and a run may have more."""
    with serving(airflow) as server:
        api = AirflowApi(server.url)
        assert api.task_instances("dag", "run") == MANY
        api.close()


@pytest.mark.parametrize(("status", "times"), [(500, 4), (404, 1)])
def test_a_request_is_repeated_when_airflow_fails_and_not_when_it_refuses(status: int, times: int) -> None:
    """Airflow 3.3.2 on SQLite responds with 500 when its database was locked; a 4xx is final."""

    async def failing(request: ReceivedRequest, write: Write) -> None:
        response = (
            http_response({"access_token": "t"}) if request.target == "/auth/token" else http_response({}, status)
        )
        await write(response)

    with serving(failing) as server:
        api = AirflowApi(server.url)
        with pytest.raises(httpx.HTTPStatusError):
            api.patch("dags/one", {"is_paused": False})
        api.close()
    assert [request.method for request in server.requests].count("PATCH") == times


def test_a_repeated_request_can_succeed() -> None:
    """A request is repeated until the database is unlocked."""

    async def locked_once(request: ReceivedRequest, write: Write) -> None:
        patches = [earlier for earlier in server.requests if earlier.method == "PATCH"]
        status = 500 if request.method == "PATCH" and len(patches) == 1 else 200
        await write(http_response({"access_token": "t"}, status))

    with serving(locked_once) as server:
        api = AirflowApi(server.url)
        assert api.patch("dags/one", {"is_paused": False}) == {"access_token": "t"}
        api.close()


def test_a_pool_says_what_it_limits() -> None:
    """The pool that `make ui` creates counts deferred tasks, and the UI has its description."""
    with serving(airflow) as server:
        api = AirflowApi(server.url)
        api.add_pool("evolink", POOL_SLOTS, POOL_DESCRIPTION)
        api.close()
    pool = json.loads(next(each.body for each in server.requests if each.target.endswith("/pools")))
    assert pool == {
        "name": "evolink", "slots": POOL_SLOTS, "description": POOL_DESCRIPTION, "include_deferred": True,
    }  # fmt: skip
    assert "in progress at EvoLink" in POOL_DESCRIPTION
