# SPDX-License-Identifier: Apache-2.0
"""Pack the watches of many generations into a short text, since Airflow stores a trigger's arguments in its database.

What the watches have in common is stored once; what differs is stored by columns, whose neighbors are alike, and
compressed. An id in the documented form (``task-unified-<seconds>-<random>``) contains the time of its submission,
which costs nothing beside ``submitted_at``; its eight random characters, of which none can be saved, are what remains.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b85decode, b85encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from airflow_provider_evolink.polling.policy import Watch

# An id with a time in it: what precedes the time, the time in seconds, and what follows.
_TIMED_ID = re.compile(r"(.*?-)([1-9][0-9]{9})-(.*)")
# Times are kept to a tenth of a second.
_TICKS = 10
_SHARED = ("model", "estimated_time", "poll_interval", "unreachable_timeout")


class _Row(NamedTuple):
    """One watch, split into what it shares with others and what it does not.

    :param kind: what many share: the fields named above, the timeout in ticks, the id's head, the length of its tail.
    :param submitted: ticks since the epoch.
    :param lag: seconds from the submission to the time in the id; ``None`` = the id has no head and no time.
    :param tail: the rest of the id.
    """

    kind: tuple[Any, ...]
    submitted: int
    lag: int | None
    tail: str


def pack(watches: Sequence[Watch]) -> str:
    """Pack watches into a text.

    :return: printable ASCII that JSON does not escape: about 7 KiB for 1,000 documented ids.
    """
    rows = [_row(watch) for watch in watches]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(row.kind for row in rows))}
    columns = {
        "kinds": list(numbers),
        "numbers": [numbers[row.kind] for row in rows],
        "submitted": _differences([row.submitted for row in rows]),
        "lags": [row.lag for row in rows],
    }
    # The random characters are compressed best when nothing else is between them.
    tails = "".join(row.tail for row in rows)
    return f"{_deflate(json.dumps(columns, separators=(',', ':')))} {_deflate(tails)}"


def unpack(packed: str) -> list[Watch]:
    """Return the watches that were packed, in order; times are rounded to a tenth of a second.

    :raises ValueError: the text is not one that :func:`pack` returned.
    """
    try:
        columns, tails = (_inflate(part) for part in packed.split(" "))
        return [_watch(row) for row in _rows(json.loads(columns), tails)]
    except (ValueError, TypeError, AttributeError, LookupError, zlib.error) as error:
        raise ValueError("The packed generations can't be read: they are cut off, or of another version.") from error


def _row(watch: Watch) -> _Row:
    submitted = round(watch.submitted_at * _TICKS)
    timeout = round(watch.deadline * _TICKS) - submitted
    head, lag, tail = "", None, watch.generation_id
    if match := _TIMED_ID.fullmatch(watch.generation_id):
        head, tail = match[1], match[3]
        lag = int(match[2]) - submitted // _TICKS
    kind = (*(getattr(watch, name) for name in _SHARED), timeout, head, len(tail))
    return _Row(kind, submitted, lag, tail)


def _rows(columns: Mapping[str, Any], tails: str) -> Iterator[_Row]:
    start = 0
    numbers, lags = columns["numbers"], columns["lags"]
    for number, submitted, lag in zip(numbers, accumulate(columns["submitted"]), lags, strict=True):
        kind = columns["kinds"][number]
        end = start + kind[-1]
        yield _Row(tuple(kind), submitted, lag, tails[start:end])
        start = end


def _watch(row: _Row) -> Watch:
    *shared, timeout, head, _ = row.kind
    time_in_id = "" if row.lag is None else f"{row.submitted // _TICKS + row.lag}-"
    return Watch(
        generation_id=f"{head}{time_in_id}{row.tail}",
        submitted_at=row.submitted / _TICKS,
        deadline=(row.submitted + timeout) / _TICKS,
        **dict(zip(_SHARED, shared, strict=True)),
    )


def _differences(values: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise([0, *values])]


def _deflate(text: str) -> str:
    # Short matches between random characters take more bits than the characters themselves: filtered = none of them.
    deflater = zlib.compressobj(level=9, strategy=zlib.Z_FILTERED)
    return b85encode(deflater.compress(text.encode()) + deflater.flush()).decode()


def _inflate(text: str) -> str:
    return zlib.decompress(b85decode(text)).decode()
