# SPDX-License-Identifier: Apache-2.0
"""What our tasks have returned, as a list of entries to show: files that have landed, and what has failed. Pure.

A value of XCom may have been written by anybody who may write a DAG, so nothing in it is taken for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from airflow_provider_evolink.api.generation_facts import seconds_of_record
from airflow_provider_evolink.execution.try_notes import text_of
from airflow_provider_evolink.media.records import is_record
from airflow_provider_evolink.ui.media_kinds import content_type
from airflow_provider_evolink.ui.untrusted import (
    as_count,
    as_digest,
    as_list,
    as_mapping,
    as_text,
    as_uri,
    file_name,
    first_number,
    item_at,
    mappings_in,
)

LANDED, FAILED, UNFINISHED, UNKNOWN = "landed", "failed", "unfinished", "unknown"
RUNNING = "running"
# Airflow's states of a task instance.
UP_FOR_RETRY = "up_for_retry"
_UNDER_WAY = frozenset({"running", "deferred", "scheduled", "queued"})
_STATUSES = frozenset({LANDED, FAILED, "skipped", UNFINISHED})
_ROWS_LATER = "Its rows are shown here once the batch has ended."
_NEXT_TRY = "The next try is to come."
_LOG_SAYS_WHY = "The task failed; its log says why."
_VALUE_ELSEWHERE = "The task's record is kept by Airflow's XCom backend, outside of Airflow's database."
_UNKNOWN_BACKEND = "Of such backends, the gallery reads only Airflow's own for object storage."

# Takes a batch's manifest and the number of an entry. Returns the lines from the one with that entry on, and the number
# of the first entry of these.
ManifestReader = Callable[[str, int], tuple[Iterable[Mapping[str, Any]], int]]


class ManifestError(Exception):
    """A batch's manifest that can't be read; the message is for the reader of the page."""


@dataclass(frozen=True, slots=True)
class TaskValues:
    """What Airflow stores about a task instance.

    :param state: such as ``success``; None before the first.
    :param is_ours: whether its operator is one of this package.
    :param returned: its return value; None if there is none.
    :param generation_id: of the generation that it has submitted or waits for, if it has pushed one.
    :param manifest: URI of a batch's manifest, if it has pushed one.
    :param try_number: of its last try.
    :param progress: what a batch that is under way has left; see below.
    :param failure: what a failed try has left; see :mod:`~airflow_provider_evolink.execution.try_notes`.
    :param unreadable: why a value that is kept outside of Airflow's database could not be read, if that is known.
    """

    task_id: str
    map_index: int
    state: str | None = None
    is_ours: bool = False
    returned: Any = None
    generation_id: Any = None
    manifest: Any = None
    try_number: int | None = None
    progress: Any = None
    failure: Any = None
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a generation.

    :param credits: used, or still reserved.
    :param duration: seconds from its submission to when its end was read.
    :param error: why it has failed.
    """

    prompt: str | None = None
    model: str | None = None
    credits: float | None = None
    duration: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to show: a file, or why there is none.

    :param number: its position among those of its task instance, from 0.
    :param status: ``landed``, ``failed``, ``skipped`` or ``unfinished``; ``unknown`` if the record can't be read;
        ``running`` of a batch that is under way.
    :param uri: of the file; never given to a browser.
    :param poster: URI of its poster.
    :param conn_id: the connection that the record names.
    :param why_not: why it can't be shown, if that is known without looking at its address.
    """

    task_id: str = ""
    map_index: int = -1
    number: int = 0
    status: str = LANDED
    name: str | None = None
    uri: str | None = None
    poster: str | None = None
    conn_id: str | None = None
    content_type: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    generation_id: str | None = None
    facts: Facts = Facts()
    why_not: str | None = None


def entries_of(values: TaskValues, read_manifest: ManifestReader, first: int = 0) -> Iterator[Entry]:
    """Yield the entries of a task instance, in the order of its results.

    :param read_manifest: raises :class:`ManifestError`, as do the lines it returns.
    :param first: number of the first to yield.
    """
    for number, entry in enumerate(_entries(values, read_manifest, first), first):
        yield replace(entry, task_id=values.task_id, map_index=values.map_index, number=number)


def completed(entry: Entry, facts: Facts) -> Entry:
    """Add what is known about its generation from elsewhere; what its own record has takes precedence."""
    own = entry.facts
    error = own.error
    if entry.status == FAILED:
        error = facts.error if error in (None, _LOG_SAYS_WHY) and facts.error else error
    known = Facts(
        prompt=own.prompt if own.prompt is not None else facts.prompt,
        model=own.model if own.model is not None else facts.model,
        credits=own.credits if own.credits is not None else facts.credits,
        duration=own.duration if own.duration is not None else facts.duration,
        error=error,
    )
    return replace(entry, facts=known)


def lacks_facts(entry: Entry) -> bool:
    """Return whether it is of a generation that has landed nothing, and of which no record has been found."""
    return entry.status in {FAILED, UNFINISHED} and entry.generation_id is not None and entry.facts.model is None


def without_prompt(entry: Entry) -> Entry:
    """Withhold the prompt, which a batch's manifest has for every row."""
    return replace(entry, facts=replace(entry.facts, prompt=None))


def facts_of(record: object, rendered_fields: object = None, stored: object = None) -> Facts:
    """Return what is known about a generation.

    :param record: that its task has returned, or a line of a batch's manifest.
    :param rendered_fields: of its task instance, for the prompt.
    :param stored: the newest entry of its task's ledger, for one that has no record.
    """
    entry = as_mapping(stored)
    known = as_mapping(record) or as_mapping(entry.get("result"))
    usage = as_mapping(known.get("usage"))
    return Facts(
        prompt=as_text(known.get("prompt")) or _prompt(rendered_fields),
        model=as_text(known.get("model")) or as_text(entry.get("model")),
        credits=first_number(usage.get("credits_used"), usage.get("credits_reserved"), known.get("credits")),
        duration=first_number(known.get("seconds"), seconds_of_record(known)),
        error=as_text(entry.get("error")),
    )


def entry_count(line: Mapping[str, Any]) -> int:
    """Return the number of entries of a line of a manifest."""
    return max(1, len(_uris(line)))


def _entries(values: TaskValues, read_manifest: ManifestReader, first: int) -> Iterator[Entry]:
    returned = values.returned
    manifest = as_uri(as_mapping(returned).get("manifest")) or (as_uri(values.manifest) if returned is None else None)
    if manifest is not None:
        return _of_manifest(manifest, read_manifest, first)
    return islice(_of_values(values), first, None)


def _of_values(values: TaskValues) -> Iterator[Entry]:
    returned = values.returned
    reason = as_text(text_of(values.failure, values.try_number))
    if returned is None and values.state == FAILED:
        if values.is_ours or as_text(values.generation_id) or reason:
            yield _failed(values, FAILED, reason or _LOG_SAYS_WHY)
    elif returned is None and values.state == UP_FOR_RETRY and reason:
        yield _failed(values, UNFINISHED, f"{reason} {_NEXT_TRY}")
    elif returned is None and values.state in _UNDER_WAY:
        if progress := as_text(text_of(values.progress, values.try_number)):
            yield Entry(status=RUNNING, why_not=f"{progress}. {_ROWS_LATER}")
    elif values.is_ours and isinstance(returned, str) and "://" in returned:
        yield Entry(status=UNKNOWN, why_not=f"{_VALUE_ELSEWHERE} {values.unreadable or _UNKNOWN_BACKEND}")
    else:
        for value in returned if isinstance(returned, list) else [returned]:
            yield from _of_value(value)


def _failed(values: TaskValues, status: str, reason: str) -> Entry:
    return Entry(status=status, generation_id=as_text(values.generation_id), facts=Facts(error=reason))


def _of_value(value: object) -> Iterator[Entry]:
    """Yield the entries of a record, of the summary of a recovery, or of one landed file."""
    known = as_mapping(value)
    if as_uri(known.get("uri")):
        yield _landed(known, Facts())
        return
    facts = facts_of(known) if is_record(known) else Facts()
    for file in mappings_in(known.get("landed")):
        if as_uri(file.get("uri")):
            yield _landed(file, facts)
    if "found" in known:
        for failure in mappings_in(known.get("failed")):
            error = Facts(error=as_text(failure.get("text")))
            yield Entry(status=FAILED, generation_id=as_text(failure.get("generation_id")), facts=error)


def _landed(file: Mapping[str, Any], facts: Facts) -> Entry:
    uri = as_uri(file.get("uri")) or ""
    entry = Entry(
        name=file_name(uri),
        uri=uri,
        poster=as_uri(file.get("poster")),
        conn_id=as_text(file.get("storage_conn_id")),
        content_type=content_type(file.get("content_type"), uri),
        bytes=as_count(file.get("bytes")),
        sha256=as_digest(file.get("sha256")),
        generation_id=as_text(file.get("generation_id")),
        facts=facts_of(file),
    )
    return completed(entry, facts)


def _of_manifest(manifest: str, read_manifest: ManifestReader, first: int) -> Iterator[Entry]:
    try:
        lines, start = read_manifest(manifest, first)
        yield from islice(chain.from_iterable(map(_of_line, lines)), first - start, None)
    except ManifestError as error:
        yield Entry(status=UNKNOWN, name=file_name(manifest), why_not=str(error))


def _of_line(line: Mapping[str, Any]) -> Iterator[Entry]:
    status = str(line.get("status"))
    error = as_mapping(line.get("error")).get("text")
    common = Entry(
        status=status if status in _STATUSES else UNKNOWN,
        name=as_text(line.get("key")),
        generation_id=as_text(line.get("generation_id")),
        facts=replace(facts_of(line), error=as_text(error)),
    )
    uris = _uris(line)
    if not uris:
        yield common
    for index, uri in enumerate(uris):
        yield replace(
            common,
            name=file_name(uri),
            uri=uri,
            poster=as_uri(item_at(line.get("posters"), index)),
            conn_id=as_text(line.get("storage_conn_id")),
            content_type=content_type(None, uri),
            bytes=as_count(item_at(line.get("bytes"), index)),
            sha256=as_digest(item_at(line.get("sha256"), index)),
        )


def _uris(line: Mapping[str, Any]) -> list[str]:
    return [uri for uri in as_list(line.get("uris")) if as_uri(uri)]


def _prompt(rendered_fields: object) -> str | None:
    """Return the prompt among the rendered fields of a task, whatever its operator calls it."""
    fields = as_mapping(rendered_fields)
    return as_text(fields.get("prompt")) or as_text(as_mapping(fields.get("parameters")).get("prompt"))
