# SPDX-License-Identifier: Apache-2.0
"""A generation that a task waits for."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_evolink.result import Origin


@dataclass(frozen=True, slots=True)
class PendingGeneration:
    """A generation to wait for, and where it comes from.

    :param origin: its submission, and this try.
    :param estimated_time: EvoLink's estimate, in seconds.
    :param since: start of the timeout, in seconds since the epoch; ``None`` = at the submission.
    """

    generation_id: str
    origin: Origin
    estimated_time: float | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """The wait ended before the generation did, and has to be resumed.

    :param failing_since: since when reads have failed, in seconds since the epoch; ``None`` = the last one succeeded.
    """

    pending: PendingGeneration
    failing_since: float | None = None
