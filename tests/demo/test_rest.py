from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

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
