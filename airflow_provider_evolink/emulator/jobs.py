# SPDX-License-Identifier: Apache-2.0
"""Generations: what was asked, and how far each is. Pure: a state follows from the time alone, nothing ticks."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_provider_evolink.emulator.artifacts import Artifact
from airflow_provider_evolink.emulator.prices import Quote

PENDING_SHARE = 0.08
CANCELLED_AFTER_SHARE = 0.5
SPREAD = 0.1

FINAL = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True)
class Destiny:
    """How a generation will go.

    :param status: completed, failed or cancelled: how it ends.
    :param error_code: EvoLink's code, for one that fails.
    :param error_message: EvoLink's words, for one that fails.
    :param running: the status while it is being processed.
    :param delivers: `results` (links), `result_data` (links, but only there) or `nothing`.
    :param stuck_at: the progress at which it hangs for ever, in percent; None if it ends.
    """

    status: str = "completed"
    error_code: str | None = None
    error_message: str | None = None
    running: str = "processing"
    delivers: str = "results"
    stuck_at: int | None = None


@dataclass(frozen=True)
class Order:
    """What was asked for.

    :param model: its id.
    :param kind: video, image or audio.
    :param artifacts: the files to deliver.
    :param quote: what it costs.
    :param estimated_seconds: how long it should take, emulated.
    :param prompt: shortened by nobody; empty if there is none.
    :param callback_url: whom EvoLink would tell; nobody is told here.
    :param idempotency_key: what the request carried.
    :param digest: SHA-256 of the request.
    :param origin: scheme, host and port under which the client knows the emulator.
    """

    model: str
    kind: str
    artifacts: tuple[Artifact, ...]
    quote: Quote
    estimated_seconds: float
    prompt: str
    callback_url: str | None
    idempotency_key: str | None
    digest: str
    origin: str


@dataclass(frozen=True)
class Job:
    """An accepted generation.

    :param id: `task-unified-<unix>-<8 chars>`.
    :param order: what was asked for.
    :param destiny: how it will go.
    :param created: unix seconds.
    :param submitted: emulated seconds since the start.
    :param secret: makes its links unguessable.
    :param link_life: seconds that its links live.
    """

    id: str
    order: Order
    destiny: Destiny
    created: int
    submitted: float
    secret: str
    link_life: float

    @property
    def ends(self) -> float:
        """The emulated moment at which it reaches its final state; infinite if it never does."""
        if self.destiny.stuck_at is not None:
            return math.inf
        share = CANCELLED_AFTER_SHARE if self.destiny.status == "cancelled" else 1.0
        return self.submitted + self.duration * share

    @property
    def duration(self) -> float:
        """Emulated seconds that it runs: the estimate, give or take a tenth that follows from the id."""
        fate = zlib.crc32(self.id.encode()) / 0xFFFFFFFF
        return self.order.estimated_seconds * (1 + SPREAD * (2 * fate - 1))

    @property
    def paths(self) -> tuple[str, ...]:
        """Where its files are served, whether or not they are there yet."""
        day = datetime.fromtimestamp(self.created, UTC).strftime("%Y/%m/%d")
        folder = f"/media/{self.order.kind}s/{day}"
        return tuple(
            f"{folder}/{self.secret}_{index}.{artifact.extension}"
            for index, artifact in enumerate(self.order.artifacts)
        )

    @property
    def links(self) -> tuple[str, ...]:
        """The addresses of its files."""
        return tuple(self.order.origin + path for path in self.paths)


@dataclass(frozen=True)
class State:
    """How far a generation is.

    :param status: pending, processing, completed, failed, cancelled, or what a fault makes of it.
    :param progress: percent.
    """

    status: str
    progress: int

    @property
    def is_terminal(self) -> bool:
        """Whether it will not change any more."""
        return self.status in FINAL


def state(job: Job, now: float) -> State:
    """Tell how far a generation is.

    :param job: which.
    :param now: emulated seconds since the start.
    """
    if now >= job.ends:
        return State(job.destiny.status, 100 if job.destiny.status == "completed" else 0)
    share = (now - job.submitted) / job.duration if job.duration else 1.0
    if share < PENDING_SHARE:
        return State("pending", 0)
    progress = min(max(int(100 * share), 1), 99)
    if job.destiny.stuck_at is not None:
        progress = min(progress, job.destiny.stuck_at)
    return State(job.destiny.running, progress)
