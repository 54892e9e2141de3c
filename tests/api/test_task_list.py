# SPDX-License-Identifier: Apache-2.0
"""The list of an account's generations: pages, times and limits."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError, InvalidResponseError
from airflow_provider_evolink.api.task_list import TaskPage, page_path, parse_page, read_list

NOW = 1_790_000_000


def entry(number: int, **fields: Any) -> dict[str, Any]:
    """Return an entry of the list: the higher the number, the older the generation."""
    created = NOW - number * 60
    return {
        "id": f"task-unified-{created}-{number:08d}",
        "model": "z-image-turbo",
        "type": "image",
        "status": "completed",
        "progress": 100,
        "created_at": created,
        "credits_used": 2.5,
        **fields,
    }


class Server:
    """Serves pages of 50, and counts the requests.

    :param entries: newest first.
    """

    def __init__(self, entries: list[dict[str, Any]], **fields: Any) -> None:
        self.entries, self.fields, self.requested = entries, fields, 0

    async def read(self, number: int) -> TaskPage:
        """Return a page as the client parses it."""
        self.requested += 1
        data = self.entries[(number - 1) * 50 : number * 50]
        body = {"data": data, "total": len(self.entries), "page": number, "page_size": 50, **self.fields}
        return parse_page({name: value for name, value in body.items() if value is not None}, number)


def test_an_entry_is_a_generation() -> None:
    """The fields that the list names differently are found, and the credits."""
    [generation] = parse_page({"data": [entry(1)]}, 1).generations

    assert (generation.id, generation.status, generation.kind) == (entry(1)["id"], "completed", "image")
    assert (generation.created, generation.usage.credits_used) == (NOW - 60, 2.5)


def test_an_entry_without_a_time_has_that_of_its_id() -> None:
    """The time in a documented id stands in for a missing one."""
    [generation] = parse_page({"data": [entry(1, created_at=None)]}, 1).generations

    assert generation.created == NOW - 60


def test_senseless_entries_are_left_out() -> None:
    """What is no generation does not hide the others."""
    page = parse_page({"data": [7, {"id": "../x", "status": "completed"}, {"id": "task-1"}, entry(1)]}, 1)

    assert [each.id for each in page.generations] == [entry(1)["id"]]


@pytest.mark.parametrize("body", [None, [], {}, {"data": {}}, {"data": "x"}])
def test_a_body_without_a_list_is_refused(body: object) -> None:
    """It is not taken for an account without generations."""
    with pytest.raises(InvalidResponseError):
        parse_page(body, 1)


@pytest.mark.parametrize("total", [120, None])
async def test_all_pages_are_read(total: int | None) -> None:
    """Each generation is returned once, newest first, whether or not EvoLink reports how many there are."""
    server = Server([entry(number) for number in range(120)], total=total)
    found = await read_list(server.read, since=None, limit=1000)

    assert [each.id for each in found] == [each["id"] for each in server.entries]
    assert server.requested == 3


async def test_reading_stops_at_the_time() -> None:
    """Older generations are neither returned nor paged through."""
    server = Server([entry(number) for number in range(1000)])
    found = await read_list(server.read, since=NOW - 60 * 60, limit=1000)

    assert len(found) == 61
    assert server.requested == 3


async def test_reading_stops_at_the_limit() -> None:
    """No more than `limit` are returned, and no more pages read than that takes."""
    server = Server([entry(number) for number in range(1000)])

    assert len(await read_list(server.read, since=None, limit=60)) == 60
    assert server.requested == 2


async def test_generations_that_are_added_meanwhile_hide_none() -> None:
    """A generation that moves to the next page while the list is read is returned once."""
    server = Server([entry(number) for number in range(1, 101)])

    async def read(number: int) -> TaskPage:
        page = await server.read(number)
        server.entries.insert(0, entry(-number))
        return page

    found = [each.id for each in await read_list(read, since=None, limit=1000)]
    assert len(found) == len(set(found))
    assert {entry(number)["id"] for number in range(1, 101)} <= set(found)


async def test_a_server_that_repeats_itself_is_left() -> None:
    """A list whose pages are all the same ends the reading."""
    server = Server([entry(number) for number in range(50)], total=10_000)

    async def read(_: int) -> TaskPage:
        return await server.read(1)

    assert len(await read_list(read, since=None, limit=1000)) == 50
    assert server.requested == 2


@pytest.mark.parametrize("limit", [0, -1, 10_001, True, 1.5, "10"])
async def test_an_impossible_limit_is_refused(limit: Any) -> None:
    """Nothing is requested for a limit that is out of range."""
    server = Server([])
    with pytest.raises(InvalidInputError, match="`limit`"):
        await read_list(server.read, since=None, limit=limit)
    assert server.requested == 0


@pytest.mark.parametrize("status", ["pending", "all", "", "Completed"])
def test_a_status_that_evolink_does_not_filter_by_is_refused(status: str) -> None:
    """EvoLink would refuse it, or ignore it and list everything."""
    with pytest.raises(InvalidInputError, match="`status`"):
        page_path(1, status=status)


def test_the_model_is_quoted() -> None:
    """A model's name can't change the query."""
    assert page_path(2, status="completed", model="a&page=9").endswith("page=2&page_size=50&model=a%26page%3D9")
