# SPDX-License-Identifier: Apache-2.0
"""Choose which of an account's generations are to be landed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_evolink.api.generation import Generation

# Fields of an asset event's extra that name generations: of a file, and lists of files.
_ID_FIELD, _FILES_FIELD = "generation_id", "landed"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be done about the generations of a list.

    :param ids: to be landed, the oldest first: their links expire first.
    :param found: how many generations were listed.
    :param known: how many of them need not be landed.
    :param too_recent: how many are left to the tasks that have submitted them.
    :param left: how many are left to a later run, because of the limit.
    """

    ids: tuple[str, ...]
    found: int
    known: int
    too_recent: int
    left: int


def select(listed: Collection[Generation], known: Collection[str], *, submitted_before: float, limit: int) -> Selection:
    """Choose the generations that are to be landed.

    :param listed: the completed ones, newest first.
    :param known: ids of those that have landed, or never will.
    :param submitted_before: latest time of submission, in seconds since the epoch.
    :param limit: the most to land.
    """
    unknown = [each for each in listed if each.id not in known]
    old = [each.id for each in unknown if (each.created or 0.0) <= submitted_before]
    old.reverse()
    return Selection(
        ids=tuple(old[:limit]),
        found=len(listed),
        known=len(listed) - len(unknown),
        too_recent=len(unknown) - len(old),
        left=max(len(old) - limit, 0),
    )


def ids_in_event(extra: object) -> Iterator[str]:
    """Yield the generations whose landing an asset event reports."""
    if not isinstance(extra, Mapping):
        return
    files = extra.get(_FILES_FIELD)
    for entry in (extra, *(files if isinstance(files, list) else ())):
        generation_id = entry.get(_ID_FIELD) if isinstance(entry, Mapping) else None
        if isinstance(generation_id, str):
            yield generation_id
