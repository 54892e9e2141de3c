# SPDX-License-Identifier: Apache-2.0
"""The list of an account's generations (``GET /v1/tasks``; undocumented, known from EvoLink's clients; free).

EvoLink returns it newest first, in pages, without links, and has no filter for time. It lists whatever the account has,
whoever submitted it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from airflow_provider_evolink.api.errors import InvalidInputError, InvalidResponseError
from airflow_provider_evolink.api.generation import COMPLETED, Generation, parse_generation, submission_time

# EvoLink's clients never ask for more.
PAGE_SIZE = 50
# What EvoLink can filter by; "processing" includes generations that are queued.
LISTABLE_STATUSES = ("processing", COMPLETED, "failed", "cancelled")
MAX_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of the list.

    :param generations: newest first, without links; entries that make no sense are left out.
    :param total: how many the whole list has, if EvoLink says so.
    :param is_last: whether there is no further page.
    """

    generations: tuple[Generation, ...]
    total: int | None
    is_last: bool


def check_limit(name: str, value: object) -> None:
    """Refuse a number of generations that is out of range.

    :param name: of the parameter.
    :raises InvalidInputError: it is not from 1 to 10,000.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LISTED:
        raise InvalidInputError(name, value, f"a whole number from 1 to {MAX_LISTED:,}")


def page_path(number: int, *, status: str, model: str | None = None) -> str:
    """Return the path of a page.

    :param number: of the page, from 1.
    :param status: one of ``LISTABLE_STATUSES``.
    :param model: only its generations.
    :raises InvalidInputError: EvoLink can't filter by that status.
    """
    if status not in LISTABLE_STATUSES:
        *others, last = map(repr, LISTABLE_STATUSES)
        raise InvalidInputError("status", status, f"{', '.join(others)} or {last}")
    query = {"status": status, "page": number, "page_size": PAGE_SIZE, **({"model": model} if model else {})}
    return f"/v1/tasks?{urlencode(query)}"


def parse_page(body: object, number: int) -> TaskPage:
    """Parse the body of a page.

    :param number: of the page, from 1.
    :raises InvalidResponseError: it has no ``data`` list.
    """
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    entries = fields.get("data")
    if not isinstance(entries, list):
        raise InvalidResponseError("EvoLink's list has no generations in it, not even an empty list of them.")
    total, size = _count(fields.get("total")), _count(fields.get("page_size")) or PAGE_SIZE
    count = len(entries)
    is_last = count == 0 or (count < size if total is None else number * size >= total)
    return TaskPage(tuple(filter(None, map(_parse_entry, entries))), total, is_last)


async def read_list(
    read_page: Callable[[int], Awaitable[TaskPage]], *, since: float | None, limit: int
) -> list[Generation]:
    """Read the list up to a time, page by page, each generation once.

    Generations that are added meanwhile move the others to later pages, where they are met again.

    :param read_page: reads the page of a number.
    :param since: earliest time of submission, in seconds since the epoch; ``None`` = all. A generation of unknown age
        counts as new.
    :param limit: the most to return, 1 to 10,000; also bounds the number of requests.
    :return: newest first.
    :raises InvalidInputError: another limit; nothing was sent.
    """
    check_limit("limit", limit)
    found: dict[str, Generation] = {}
    for number in range(1, limit + 1):
        page = await read_page(number)
        recent = {each.id: each for each in page.generations if _is_since(each, since)}
        has_new = not recent.keys() <= found.keys()
        found |= {generation_id: each for generation_id, each in recent.items() if generation_id not in found}
        if page.is_last or not has_new or len(found) >= limit:
            break
    return list(found.values())[:limit]


def _is_since(generation: Generation, since: float | None) -> bool:
    return since is None or generation.created is None or generation.created >= since


def _parse_entry(entry: object) -> Generation | None:
    """Return the generation of an entry, which names some fields differently from the generation's own response."""
    if not isinstance(entry, Mapping):
        return None
    fields: dict[str, Any] = {"created": entry.get("created_at"), **entry}
    if "usage" not in fields:
        fields["usage"] = {"credits_used": entry.get("credits_used")}
    try:
        generation = parse_generation(fields)
    except InvalidResponseError:
        return None
    created = generation.created or submission_time(generation.id)
    # The raw entry is dropped: the list may be long.
    return replace(generation, created=created, raw={})


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
