from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from demo.rest import AirflowApi
from tests.loopback import Asked, Write, serving, whole

MANY = [{"task_id": "generate", "map_index": number} for number in range(250)]


async def airflow(asked: Asked, write: Write) -> None:
    """Answer as Airflow does: with so many of the wanted page, and never with more than 100."""
    if asked.target == "/auth/token":
        return await write(whole({"access_token": "t"}))
    query = parse_qs(urlsplit(asked.target).query)
    offset, limit = (int(query.get(name, ["0"])[0]) for name in ("offset", "limit"))
    page = MANY[offset : offset + min(limit, 100)]
    return await write(whole({"task_instances": page, "total_entries": len(MANY)}))


def test_all_task_instances_of_a_large_run_are_found() -> None:
    """Airflow hands out 100 at most, and a run may have more."""
    with serving(airflow) as server:
        api = AirflowApi(server.url)
        assert api.task_instances("dag", "run") == MANY
        api.close()


@pytest.mark.parametrize(("status", "times"), [(500, 4), (404, 1)])
def test_a_request_is_repeated_when_airflow_fails_and_not_when_it_refuses(status: int, times: int) -> None:
    """Airflow 3.3.2 on SQLite answers 500 when its database was locked; it refuses with 4xx, for good."""

    async def failing(asked: Asked, write: Write) -> None:
        answer = whole({"access_token": "t"}) if asked.target == "/auth/token" else whole({}, status)
        await write(answer)

    with serving(failing) as server:
        api = AirflowApi(server.url)
        with pytest.raises(httpx.HTTPStatusError):
            api.patch("dags/one", {"is_paused": False})
        api.close()
    assert [asked.method for asked in server.asked].count("PATCH") == times


def test_a_request_that_succeeds_at_last_is_answered() -> None:
    """A locked database is free again a moment later."""

    async def locked_once(asked: Asked, write: Write) -> None:
        patches = [earlier for earlier in server.asked if earlier.method == "PATCH"]
        status = 500 if asked.method == "PATCH" and len(patches) == 1 else 200
        await write(whole({"access_token": "t"}, status))

    with serving(locked_once) as server:
        api = AirflowApi(server.url)
        assert api.patch("dags/one", {"is_paused": False}) == {"access_token": "t"}
        api.close()
