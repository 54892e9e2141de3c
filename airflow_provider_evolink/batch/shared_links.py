# SPDX-License-Identifier: Apache-2.0
"""Store the links of media once for a chunk, not for each row: many rows have the same picture. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_provider_evolink.submission.record import unreadable

_FIELD = "media_links"


def share_links(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the stored form of a chunk: a row has the positions of its links among those of the chunk.

    :param rows: stored forms of the rows.
    """
    shared: dict[tuple[str, str], int] = {}

    def positions(links: Mapping[str, str]) -> list[int]:
        return [shared.setdefault(link, len(shared)) for link in links.items()]

    stored: dict[str, Any] = {"rows": [_with_links(row, positions) for row in rows]}
    return {**stored, _FIELD: [list(link) for link in shared]} if shared else stored


def with_own_links(stored: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows of a chunk's stored form, each with its own links.

    :raises LedgerError: it is not a valid chunk. Nothing may be sent then.
    """
    shared = stored.get(_FIELD, [])

    def links(known: Any) -> Any:
        # A row that comes from more than one entry has its own links already.
        return known if isinstance(known, Mapping) else dict(shared[position] for position in known)

    try:
        return [_with_links(row, links) for row in stored["rows"]]
    except (IndexError, TypeError, ValueError) as error:
        raise unreadable(f"links of media that can't be read: {error}") from error


def _with_links(row: Mapping[str, Any], change: Callable[[Any], Any]) -> Mapping[str, Any]:
    record = row.get("record")
    if not isinstance(record, Mapping) or record.get(_FIELD) is None:
        return row
    return {**row, "record": {**record, _FIELD: change(record[_FIELD])}}
