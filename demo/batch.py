# SPDX-License-Identifier: Apache-2.0
"""A table of products that becomes a folder of videos, in one task."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.counts import Counts, pace
from demo.evolink import EvoLink
from demo.products import Products
from demo.screen import Screen, Step
from demo.session import Session, follow_task
from demo.urls import path_of

DAG_ID = "evolink_product_videos"
# Small enough for several rounds of submitting and landing.
MAX_IN_FLIGHT = 8
_LINE_SECONDS = 3.0


@dataclass(frozen=True)
class Batch:
    """A batch of videos.

    :param summary: what the operator returned.
    :param rows: the lines of the manifest.
    :param seconds: duration of the DAG run.
    """

    summary: dict[str, Any]
    rows: list[dict[str, Any]]
    seconds: float

    @property
    def manifest(self) -> Path:
        """The file that says what came of each row."""
        return path_of(self.summary["manifest"])

    @property
    def videos(self) -> list[Path]:
        """The videos, in the order of the rows."""
        return [path_of(uri) for row in self.rows for uri in row["uris"]]


def generate_videos(session: Session, screen: Screen, products: Products, destination: Path) -> Batch:
    """Run the DAG and show its progress.

    :raises DemoError: a task failed; the text ends with the last lines of its log.
    """
    started = time.monotonic()
    conf = {"table": str(products.table), "destination": str(destination), "max_in_flight": MAX_IN_FLIGHT}
    run_id = session.trigger(conf)
    follow_task(session, screen, run_id, "rows", "Rows")
    with screen.step("Videos") as step:
        display = Display(screen, step)
        session.follow(run_id, "videos", lambda _: display.show(counts(session.evolink, destination, products.count)))
    follow_task(session, screen, run_id, "report", "Report")
    session.stack.wait_for_run(DAG_ID, run_id)
    summary = session.xcom(run_id, "videos")
    lines = path_of(summary["manifest"]).read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    return Batch(summary, rows, time.monotonic() - started)


def counts(evolink: EvoLink, destination: Path, total: int) -> Counts:
    """Return how far the rows are: what EvoLink has, and what is in the folder, where only a complete file has a name.

    :param total: rows of the table.
    """
    statuses = evolink.statuses()
    landed = sum(not file.name.startswith(".") for file in destination.glob("*.mp4"))
    return Counts(
        total=total,
        under_way=statuses["pending"] + statuses["processing"],
        ended=max(statuses["completed"] - landed, 0),
        landed=landed,
        failed=statuses["failed"] + statuses["cancelled"],
    )


class Display:
    """Show how far a batch is: as a bar on a terminal, as a line every few seconds elsewhere.

    :param step: the bar.
    """

    def __init__(self, screen: Screen, step: Step) -> None:
        self._screen = screen
        self._step = step
        self._shown: Counts | None = None
        self._started = 0.0
        self._next_line = 0.0

    def show(self, now: Counts) -> None:
        """Show the counts, the pace and the expected end."""
        if not now.under_way and self._shown is None:
            return
        self._started = self._started or time.monotonic()
        lines = [str(now), pace(now, time.monotonic() - self._started, time.time())]
        self._step.percent(now.percent)
        self._step.note("\n".join(filter(None, lines)))
        if now != self._shown and time.monotonic() >= self._next_line:
            self._shown, self._next_line = now, time.monotonic() + _LINE_SECONDS
            self._screen.plain("; ".join(filter(None, lines)))
