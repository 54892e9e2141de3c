# SPDX-License-Identifier: Apache-2.0
"""``min_credits_left``: submit only while the account and the API key keep so many credits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import CreditsBelowMinimumError, CreditsUnknownError, EvoLinkError
from airflow_provider_evolink.execution import limits

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.api.settings import Settings
    from airflow_provider_evolink.execution.account import Account

# For how long a process believes one reading.
SHARED_SECONDS = 10.0


@dataclass
class _Reading:
    """The credits of an account, read once for all tasks of a process.

    :ivar reserved_since: what this process has had reserved since the reading.
    :ivar read_lock: held while they are read, which may take a minute.
    :ivar count_lock: held for a moment only: what is paid for must not wait before its id is recorded.
    """

    remaining: float = 0.0
    read_at: float | None = None
    reserved_since: float = 0.0
    read_lock: threading.Lock = field(default_factory=threading.Lock)
    count_lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, credits_: float) -> None:
        """Add to what was reserved since the reading."""
        with self.count_lock:
            self.reserved_since += credits_


_readings: dict[Settings, _Reading] = {}


def credits_left(account: Account, *, max_age: float = SHARED_SECONDS) -> float:
    """Return the credits that the account or the API key has left, whichever has fewer; free.

    :param max_age: seconds for which another task's reading in this process is believed, less what :func:`submit` has
        had reserved since.
    :raises CreditsUnknownError: they could not be read. Nothing was sent; a retry reads them again.
    :raises ApiError: EvoLink refuses to return them. Nothing was sent; a retry finds the same.
    """
    reading = _readings.setdefault(account.settings, _Reading())
    with reading.read_lock:
        now = time.monotonic()
        if reading.read_at is None or now - reading.read_at >= max_age:
            # What is reserved during the read may be missing in it, and counts.
            reserved_before = reading.reserved_since
            reading.remaining, reading.read_at = _read(account), now
            reading.count(-reserved_before)
        return reading.remaining - reading.reserved_since


def submit(account: Account, request: GenerationRequest, idempotency_key: str) -> Submission:
    """Send a paid submission, exactly once, and subtract what it costs from the reading that the process shares.

    The parameters and errors are those of ``EvoLinkHook.submit``.
    """
    submission = account.submit(request, idempotency_key)
    usage = submission.generation.usage
    if (reading := _readings.get(account.settings)) is not None:
        reading.count(usage.credits_reserved or usage.credits_used or 0.0)
    return submission


def check_credits_left(account: Account, minimum: object) -> None:
    """Refuse to submit if fewer credits are left than there must be.

    :param minimum: the task's ``min_credits_left``; ``None`` = ``[evolink] min_credits_left``, if that is set.
    :raises InvalidInputError: it is no number of credits.
    :raises CreditsBelowMinimumError: fewer are left. Nothing was sent; a retry reads them again.
    :raises EvoLinkError: they could not be read; see :func:`credits_left`.
    """
    needed = limits.min_credits_left(minimum)
    if needed is not None and (remaining := credits_left(account)) < needed:
        raise CreditsBelowMinimumError(remaining, needed)


def _read(account: Account) -> float:
    try:
        return account.get_credits().remaining
    except EvoLinkError as error:
        error.charged = False
        if error.permanent:
            raise
        raise CreditsUnknownError(
            f"The credits left could not be read, which `min_credits_left` requires. {error.facts} Nothing was "
            "submitted, and nothing was charged.",
            advice="A retry, or a clear of this task, reads them again.",
            retry_after=error.retry_after,
        ) from error
