# SPDX-License-Identifier: Apache-2.0
"""Take the result of an earlier generation as a media value: its link while it lives, else the file that landed. Pure.

A record is what an operator returns; ``landed`` holds entries about files, which may be passed on their own too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.errors import InvalidInputError, UnreadableInputError
from airflow_provider_evolink.api.media_rules import MediaRule
from airflow_provider_evolink.api.result_links import COVER, PREVIEW

# EvoLink follows a link when it starts the generation, which may queue.
MARGIN_SECONDS = 30 * 60
_KINDS_OF_ROLES = {COVER: "image", PREVIEW: "audio"}


@dataclass(frozen=True, slots=True)
class Result:
    """One result of an earlier generation.

    :param generation_id: of the generation.
    :param index: among its results.
    :param kind: ``image``, ``video`` or ``audio``; ``None`` if that is not known.
    :param link: that it had.
    :param link_expires_at: in seconds since the epoch; ``None`` if that is not known.
    :param landed: the entry of its file; ``None`` if it has not landed, as far as the record says.
    """

    generation_id: str
    index: int
    kind: str | None
    link: str
    link_expires_at: float | None
    landed: Mapping[str, Any] | None

    @property
    def identity(self) -> str:
        """What names it in a request, whatever link it gets."""
        return f"generation:{self.generation_id}/{self.index}"

    def lives(self, now: float) -> bool:
        """Return whether its link will live long enough for EvoLink to follow it."""
        return self.link_expires_at is None or now + MARGIN_SECONDS < self.link_expires_at


def is_record(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a value is the record of a generation."""
    return isinstance(value, Mapping) and isinstance(value.get("generation_id"), str) and "results" in value


def is_landed(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a value is an entry about a file that landed."""
    return isinstance(value, Mapping) and all(isinstance(value.get(name), str) for name in ("uri", "sha256"))


def location_of(entry: Mapping[str, Any]) -> str:
    """Return where a landed file is, with the connection that its destination named; older entries lack it."""
    uri, conn_id = str(entry["uri"]), entry.get("storage_conn_id")
    scheme, separator, path = uri.partition("://")
    return f"{scheme}://{conn_id}@{path}" if conn_id and isinstance(conn_id, str) and separator else uri


def results_of(record: Mapping[str, Any], rule: MediaRule, parameter: str, now: float) -> list[Result]:
    """Return the results of a generation that a parameter takes.

    :param now: seconds since the epoch.
    :raises InvalidInputError: it has none, or none of this kind.
    :raises UnreadableInputError: the links of all have died, and none has landed.
    """
    generation_id = record["generation_id"]
    results = list(_results(record))
    if not results:
        allowed = f"{rule.noun}, but generation {generation_id} has no results (status {record.get('status')!r})"
        raise InvalidInputError(parameter, generation_id, allowed)
    fitting = [result for result in results if result.kind in (rule.kind, None)]
    if not fitting:
        made = " and ".join(sorted({str(result.kind) for result in results}))
        allowed = f"{rule.noun}, but generation {generation_id} of {record.get('model')!r} made {made}"
        raise InvalidInputError(parameter, generation_id, allowed)
    for result in fitting:
        _check_obtainable(result, rule, parameter, now)
    return fitting


def _check_obtainable(result: Result, rule: MediaRule, parameter: str, now: float) -> None:
    if result.landed is not None:
        return
    if not rule.takes_result_links:
        allowed = f"{rule.noun} that has landed: this model refuses the links of EvoLink's results, so give the task "
        raise InvalidInputError(parameter, result.identity, f"{allowed}that makes it a `destination`")
    if not result.lives(now):
        allowed = f"{rule.noun} that still exists, but the link of generation {result.generation_id} has expired"
        hint = "and it has not landed: give the task that makes it a `destination`, and pass its file"
        raise UnreadableInputError(parameter, result.identity, f"{allowed}, or is about to, {hint}")


def _results(record: Mapping[str, Any]) -> list[Result]:
    links = [link for link in record.get("results") or () if isinstance(link, str)]
    landed = record.get("landed") or ()
    # A result that did not land has no entry, and an entry does not say which result it is.
    files = landed if len(landed) == len(links) else [None] * len(links)
    roles = record.get("roles") or [None] * len(links)
    made = catalog.find(record["model"]) if isinstance(record.get("model"), str) else None
    expires_at = _timestamp(record.get("expires_at"))
    return [
        Result(
            generation_id=record["generation_id"],
            index=index,
            kind=_kind(file, role, made.media_type if made else None),
            link=link,
            link_expires_at=expires_at,
            landed=file if is_landed(file) else None,
        )
        for index, (link, file, role) in enumerate(zip(links, files, _padded(roles, len(links)), strict=False))
    ]


def _padded(roles: Sequence[Any], count: int) -> list[Any]:
    return [*roles, *[None] * count][:count]


def _kind(file: object, role: object, made: str | None) -> str | None:
    if isinstance(file, Mapping) and isinstance(file.get("content_type"), str):
        return str(file["content_type"].partition("/")[0])
    return _KINDS_OF_ROLES.get(str(role), made)


def _timestamp(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return None
