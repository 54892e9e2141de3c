# SPDX-License-Identifier: Apache-2.0
"""Find what to show of a run, and the file that an entry names. Everything here blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypedDict

from airflow_provider_evolink.ui.entries import Entry, TaskValues, completed, entries_of, without_prompt
from airflow_provider_evolink.ui.file_systems import FileSystems
from airflow_provider_evolink.ui.manifests import Manifests
from airflow_provider_evolink.ui.media_kinds import is_shown, kind_of
from airflow_provider_evolink.ui.roots import Location, NotShownError, Root, configured_roots, locate
from airflow_provider_evolink.ui.stored_files import StoredFile, open_file
from airflow_provider_evolink.ui.stored_ledgers import StoredLedgers
from airflow_provider_evolink.ui.stored_values import StoredValues
from airflow_provider_evolink.ui.task_values import Selection, generation_facts, task_values


class ShownEntry(TypedDict):
    """An entry as a page gets it: without addresses.

    ``credits`` and ``duration`` (seconds from the submission to the end) are those of the generation, which may have
    made several files. ``why_not`` says why a file is not shown.
    """

    task_id: str
    map_index: int
    number: int
    kind: str | None
    content_type: str | None
    bytes: int | None
    status: str
    error: str | None
    prompt: str | None
    model: str | None
    credits: float | None
    duration: float | None
    generation_id: str | None
    name: str | None
    has_poster: bool
    servable: bool
    why_not: str | None


class Page(TypedDict):
    """Some of the entries of a run, and whether there are more."""

    entries: list[ShownEntry]
    more: bool


@dataclass
class Gallery:
    """The landed files of runs, as far as they lie below the configured roots. Safe to share among threads."""

    file_systems: FileSystems = field(default_factory=FileSystems)

    def __post_init__(self) -> None:
        self._manifests = Manifests(self.file_systems)
        self._stored_values = StoredValues(self.file_systems)
        self._stored_ledgers = StoredLedgers(self.file_systems)

    def page(self, selection: Selection, *, offset: int, limit: int, with_tasks: bool) -> Page:
        """Return entries in the order of tasks and results.

        :param with_tasks: whether the reader may see task instances too: prompts, and why tasks have failed.
        """
        roots = configured_roots()
        found = (entry for values in self._values(selection) for entry in entries_of(values, self._manifests.lines))
        entries = list(islice(found, offset, offset + limit + 1))
        ids = {entry.generation_id for entry in entries if entry.generation_id}
        facts = generation_facts(selection, ids) if with_tasks else {}
        known = (completed(entry, facts[id_]) if (id_ := entry.generation_id) in facts else entry for entry in entries)
        page = islice(known, limit)
        allowed = self._stored_ledgers.completed(page, selection) if with_tasks else map(without_prompt, page)
        return {"entries": [shown(entry, roots) for entry in allowed], "more": len(entries) > limit}

    def entry(self, selection: Selection, number: int) -> Entry:
        """Return one entry of a task instance.

        :raises NotShownError: there is none.
        """
        for values in self._values(selection):
            for entry in entries_of(values, self._manifests.lines, first=number):
                return entry
        raise NotShownError("The task has no such file.")

    def _values(self, selection: Selection) -> Iterator[TaskValues]:
        for values in task_values(selection):
            yield self._stored_values.resolved(values, selection)

    def file(self, location: Location) -> StoredFile:
        """Look a file up; raises as :func:`open_file`."""
        return open_file(location, self.file_systems)


def file_location(entry: Entry, roots: Sequence[Root]) -> Location:
    """Return where the file of an entry is.

    :raises NotShownError: it may not be shown; the message says why.
    """
    if entry.uri is None:
        raise NotShownError(entry.why_not or "There is no file.")
    if not is_shown(entry.content_type):
        raise NotShownError(f"Files of the type {entry.content_type or 'that is unknown'} are not shown.")
    return locate(entry.uri, entry.conn_id, roots)


def poster_location(entry: Entry, roots: Sequence[Root]) -> Location:
    """Return where the poster of an entry is.

    :raises NotShownError: it has none, or it may not be shown.
    """
    if entry.poster is None:
        raise NotShownError("There is no poster.")
    return locate(entry.poster, entry.conn_id, roots)


def shown(entry: Entry, roots: Sequence[Root]) -> ShownEntry:
    """Return an entry as a page gets it."""
    why_not = _why_not(entry, roots)
    facts = entry.facts
    return {
        "task_id": entry.task_id,
        "map_index": entry.map_index,
        "number": entry.number,
        "kind": kind_of(entry.content_type),
        "content_type": entry.content_type,
        "bytes": entry.bytes,
        "status": entry.status,
        "error": facts.error,
        "prompt": facts.prompt,
        "model": facts.model,
        "credits": facts.credits,
        "duration": facts.duration,
        "generation_id": entry.generation_id,
        "name": entry.name,
        "has_poster": _has_poster(entry, roots),
        "servable": why_not is None,
        "why_not": why_not,
    }


def _why_not(entry: Entry, roots: Sequence[Root]) -> str | None:
    try:
        file_location(entry, roots)
    except NotShownError as error:
        return str(error)
    return None


def _has_poster(entry: Entry, roots: Sequence[Root]) -> bool:
    try:
        poster_location(entry, roots)
    except NotShownError:
        return False
    return True
