"""The table of what was found. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One cell of the table: a point and a victim.

    :param charges: generations that were charged.
    :param landed: generations that lie in the destination, whole.
    :param seconds: from the start of the strike to the end of the run; None if it has not ended.
    :param tries: of the task that is at the point.
    :param complaints: what must not be.
    """

    point: str
    victim: str
    charges: int
    landed: int
    seconds: float | None
    tries: int
    complaints: tuple[str, ...]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, followed by what is wrong."""
    lines = ["| point | victim | charges | landed | seconds | tries | |", "|---|---|--:|--:|--:|--:|---|"]
    for row in rows:
        seconds = "stuck" if row.seconds is None else f"{row.seconds:.0f}"
        verdict = "WRONG" if row.complaints else "ok"
        lines.append(
            f"| {row.point} | {row.victim} | {row.charges} | {row.landed} | {seconds} | {row.tries} | {verdict} |"
        )
    return "\n".join(
        [*lines, *(f"{row.point}, {row.victim}: {'; '.join(row.complaints)}" for row in rows if row.complaints)]
    )
