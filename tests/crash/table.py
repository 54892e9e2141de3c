# SPDX-License-Identifier: Apache-2.0
"""The table of results. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One cell of the matrix: a failpoint and a target.

    :param failpoint: its name.
    :param target: its name.
    :param charges: generations that were charged.
    :param landed: generations whose complete file is in the destination.
    :param seconds: from the disruption to the end of the run; None if it has not ended.
    :param tries: attempts of the task at the failpoint.
    :param violations: invariants that do not hold.
    """

    failpoint: str
    target: str
    charges: int
    landed: int
    seconds: float | None
    tries: int
    violations: tuple[str, ...]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, followed by the violations."""
    lines = ["| failpoint | target | charges | landed | seconds | tries | |", "|---|---|--:|--:|--:|--:|---|"]
    for row in rows:
        seconds = "stuck" if row.seconds is None else f"{row.seconds:.0f}"
        verdict = "WRONG" if row.violations else "ok"
        lines.append(
            f"| {row.failpoint} | {row.target} | {row.charges} | {row.landed} | {seconds} | {row.tries} | {verdict} |"
        )
    return "\n".join(
        [*lines, *(f"{row.failpoint}, {row.target}: {'; '.join(row.violations)}" for row in rows if row.violations)]
    )
