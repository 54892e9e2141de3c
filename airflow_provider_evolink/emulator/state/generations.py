# SPDX-License-Identifier: Apache-2.0
"""Generations and their progress. Pure: the state is a function of time alone, so no timers run."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from airflow_provider_evolink.emulator.media.artifacts import Artifact
from airflow_provider_evolink.emulator.state.pricing import Quote

PENDING_FRACTION = 0.08
CANCELLED_AFTER_FRACTION = 0.5
SPREAD = 0.1

TERMINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True)
class PlannedOutcome:
    """How a generation will run and end; decided when it is accepted.

    :param status: terminal status: completed, failed or cancelled.
    :param error_code: EvoLink's error code if it fails.
    :param error_message: EvoLink's error message if it fails.
    :param running_status: status while it is being processed.
    :param delivery: where a completed one has its links: ``results``, ``result_data`` (only there) or ``nothing``.
    :param stalls_at: progress in percent at which it hangs forever; None if it ends.
    :param created_status: status at first: ``pending``, ``processing``, or ``completed`` if it ends when it begins.
    """

    status: str = "completed"
    error_code: str | None = None
    error_message: str | None = None
    running_status: str = "processing"
    delivery: str = "results"
    stalls_at: int | None = None
    created_status: str = "pending"


@dataclass(frozen=True)
class SubmissionSpec:
    """A validated submission: what to deliver, at what price.

    :param model: id of the model.
    :param kind: video, image or audio.
    :param artifacts: files to deliver; those of another kind are covers of the others.
    :param quote: its price.
    :param estimated_seconds: estimated duration in emulated seconds.
    :param prompt: the whole prompt; empty if there is none.
    :param callback_url: URL that EvoLink would call; the emulator records callbacks and sends none.
    :param idempotency_key: idempotency key of the request; None if it had none.
    :param request_digest: SHA-256 of the request.
    :param origin: scheme, host and port that the client uses for the emulator.
    :param echo: parameters of the request that its results repeat.
    """

    model: str
    kind: str
    artifacts: tuple[Artifact, ...]
    quote: Quote
    estimated_seconds: float
    prompt: str
    callback_url: str | None
    idempotency_key: str | None
    request_digest: str
    origin: str
    echo: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Generation:
    """An accepted generation.

    :param id: ``task-unified-<unix>-<8 chars>``.
    :param spec: the submission.
    :param outcome: how it will run and end.
    :param created: time of submission in Unix seconds.
    :param submitted_at: time of submission in emulated seconds since the start.
    :param secret: makes its links unguessable.
    :param link_ttl: lifetime of its links in real seconds.
    """

    id: str
    spec: SubmissionSpec
    outcome: PlannedOutcome
    created: int
    submitted_at: float
    secret: str
    link_ttl: float

    @property
    def ends_at(self) -> float:
        """The emulated moment at which it becomes terminal; infinite if it never does."""
        if self.outcome.stalls_at is not None:
            return math.inf
        fraction = CANCELLED_AFTER_FRACTION if self.outcome.status == "cancelled" else 1.0
        return self.submitted_at + self.duration * fraction

    @property
    def duration(self) -> float:
        """Its run time in emulated seconds: the estimate ± 10 %, determined by the id; 0 if it ends at once."""
        if self.outcome.created_status == "completed":
            return 0.0
        position = zlib.crc32(self.id.encode()) / 0xFFFFFFFF
        return self.spec.estimated_seconds * (1 + SPREAD * (2 * position - 1))

    @property
    def file_paths(self) -> tuple[str, ...]:
        """Paths of its files, whether or not they exist yet."""
        day = datetime.fromtimestamp(self.created, UTC).strftime("%Y/%m/%d")
        folder = f"/media/{self.spec.kind}s/{day}"
        return tuple(
            f"{folder}/{self.secret}_{index}.{artifact.extension}" for index, artifact in enumerate(self.spec.artifacts)
        )

    @property
    def result_urls(self) -> tuple[str, ...]:
        """Links to its results."""
        return self._urls(is_result=True)

    @property
    def cover_urls(self) -> tuple[str, ...]:
        """Links to the covers of its results."""
        return self._urls(is_result=False)

    def _urls(self, *, is_result: bool) -> tuple[str, ...]:
        files = zip(self.file_paths, self.spec.artifacts, strict=True)
        return tuple(
            self.spec.origin + path for path, artifact in files if (artifact.kind == self.spec.kind) is is_result
        )


@dataclass(frozen=True)
class GenerationState:
    """Status and progress of a generation at one moment.

    :param status: pending, processing, completed, failed, cancelled, or the status that a fault sets.
    :param progress: percent.
    """

    status: str
    progress: int

    @property
    def is_terminal(self) -> bool:
        """Whether it can no longer change."""
        return self.status in TERMINAL_STATUSES


def state_at(generation: Generation, now: float) -> GenerationState:
    """Return the state of a generation at a moment.

    :param generation: the generation.
    :param now: emulated seconds since the start.
    """
    outcome = generation.outcome
    if now >= generation.ends_at:
        return GenerationState(outcome.status, 100 if outcome.status == "completed" else 0)
    fraction = (now - generation.submitted_at) / generation.duration if generation.duration else 1.0
    if fraction < PENDING_FRACTION:
        return GenerationState(outcome.created_status, 0)
    progress = min(max(int(100 * fraction), 1), 99)
    if outcome.stalls_at is not None:
        progress = min(progress, outcome.stalls_at)
    return GenerationState(outcome.running_status, progress)
