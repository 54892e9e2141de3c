# SPDX-License-Identifier: Apache-2.0
"""``min_credits_left``: submit only while the account and the API key keep so many credits.

All submissions of a process share what is known of an account: the last reading, what has been reserved since, and
what is being sent at the moment. What other processes reserve between two readings is not known.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import CreditsBelowMinimumError, CreditsUnknownError, EvoLinkError
from airflow_provider_evolink.batch.expected_prices import ExpectedPrices, price_class
from airflow_provider_evolink.execution import limits
from airflow_provider_evolink.submission.send_outcome import was_not_accepted

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.api.settings import Settings
    from airflow_provider_evolink.execution.account import Account

# For how long a process believes one reading.
SHARED_SECONDS = 10.0
# After so many seconds a submission that waits for others looks again, in case the reading has grown too old.
_WAIT_SECONDS = 1.0


@dataclass
class _Reading:
    """The credits of an account, read once for all tasks of a process.

    :ivar read_at: when the read of ``remaining`` began.
    :ivar reserved_since: what this process has had reserved since the reading.
    :ivar failure: the error of the last read; ``None`` if it returned the credits.
    :ivar failed_at: when that read began.
    :ivar expected: what is being submitted at the moment.
    :ivar read_lock: held while they are read, which may take a minute.
    :ivar changed: held for a moment only: what is paid for must not wait before its id is recorded.
    """

    remaining: float = 0.0
    read_at: float = -math.inf
    reserved_since: float = 0.0
    failure: EvoLinkError | None = None
    failed_at: float = -math.inf
    expected: ExpectedPrices = field(default_factory=ExpectedPrices)
    read_lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def left(self) -> float:
        """What is left, if nothing that is being submitted costs anything."""
        return self.remaining - self.reserved_since

    def refresh(self, account: Account, now: float) -> None:
        """Read the credits, or note why they could not be read; the caller holds ``read_lock``.

        :param now: from :func:`time.monotonic`.
        """
        # What is reserved during the read may be missing in it, and counts.
        reserved_before = self.reserved_since
        try:
            remaining = _read(account)
        except EvoLinkError as error:
            self.failure, self.failed_at = error, now
            return
        with self.changed:
            self.remaining, self.read_at, self.failure = remaining, now, None
            self.count(-reserved_before)

    def count(self, credits_: float) -> None:
        """Add to what was reserved since the reading."""
        with self.changed:
            self.reserved_since += credits_
            self.changed.notify_all()

    def has_room(self, minimum: float) -> bool:
        """Return whether another submission may begin: if what is being submitted costs what is expected, or is none.

        :raises CreditsBelowMinimumError: it may not, whatever that costs.
        """
        if self.left < minimum:
            raise CreditsBelowMinimumError(self.left, minimum)
        is_alone = not +self.expected.pending
        return is_alone or (not self.expected.is_price_awaited and self.left - self.expected.expected >= minimum)

    def settle(self, kind: str, price: float | None, *, is_in_doubt: bool) -> None:
        """Count a submission as no longer being sent.

        :param price: what EvoLink has reserved for it, which is counted; ``None`` if nothing, or nobody knows.
        :param is_in_doubt: whether it may have been accepted all the same: then it counts with the price of others.
        """
        with self.changed:
            self.expected.settle(kind, price)
            self.count(self.expected.prices.get(kind, 0.0) if is_in_doubt and price is None else 0.0)


_readings: dict[Settings, _Reading] = {}


def credits_left(account: Account, *, max_age: float = SHARED_SECONDS) -> float:
    """Return the credits that the account or the API key has left, whichever has fewer; free.

    :param max_age: seconds for which another task's reading in this process is believed, less what the process has had
        reserved since, and what it is submitting, as far as prices are known.
    :raises CreditsUnknownError: they could not be read. Nothing was sent; a retry reads them again.
    :raises ApiError: EvoLink refuses to return them. Nothing was sent; a retry finds the same.
    """
    reading = _refreshed(account, max_age)
    return reading.left - reading.expected.expected


def count_submission(account: Account, submission: Submission) -> None:
    """Subtract what a submission has reserved from the reading that the process shares, if there is one.

    ``EvoLinkHook.submit`` does; what sends with a client of its own has to.
    """
    if (reading := _readings.get(account.settings)) is not None:
        reading.count(_price(submission))


class CountedSubmission:
    """One submission, as it counts against the credits that a process shares.

    :param account: that pays.
    :param minimum: the task's ``min_credits_left``; ``None`` = ``[evolink] min_credits_left``, if that is set.
    """

    def __init__(self, account: Account, minimum: object) -> None:
        self._account = account
        self._minimum = minimum
        self._kind: str | None = None
        self._is_in_doubt = False

    @contextmanager
    def admitted(self, request: GenerationRequest) -> Iterator[None]:
        """Begin a new submission, unless too few credits are left; until it is settled, it counts for all others.

        It waits for those of this process that decide about it: whose price nobody knows yet, or whose prices would
        leave too few.

        :raises InvalidInputError: the minimum is no number of credits.
        :raises CreditsBelowMinimumError: fewer are left. Nothing was sent; a retry reads them again.
        :raises EvoLinkError: they could not be read; see :func:`credits_left`.
        """
        minimum = limits.min_credits_left(self._minimum)
        try:
            if minimum is not None:
                self._begin(request, minimum)
            yield
        finally:
            self._settle(None)

    def send(self, request: GenerationRequest, idempotency_key: str) -> Submission:
        """Send it, exactly once; parameters and errors are those of ``EvoLinkHook.submit``."""
        try:
            submission = self._account.submit(request, idempotency_key)
        except BaseException as error:
            self._is_in_doubt |= not isinstance(error, EvoLinkError) or not was_not_accepted(error)
            raise
        self._settle(_price(submission))
        return submission

    def _begin(self, request: GenerationRequest, minimum: float) -> None:
        kind = price_class(request.body)
        while True:
            reading = _refreshed(self._account, SHARED_SECONDS)
            with reading.changed:
                if reading.has_room(minimum):
                    # In this order: an interrupt in between must not leave a place taken, for which all would wait.
                    self._kind = kind
                    reading.expected.pending[kind] += 1
                    return
                reading.changed.wait(_WAIT_SECONDS)

    def _settle(self, price: float | None) -> None:
        kind, self._kind = self._kind, None
        if kind is not None:
            _readings[self._account.settings].settle(kind, price, is_in_doubt=self._is_in_doubt)


def _price(submission: Submission) -> float:
    usage = submission.generation.usage
    return usage.credits_reserved or usage.credits_used or 0.0


def _refreshed(account: Account, max_age: float) -> _Reading:
    """Return what is known of an account, after reading it if that is too long ago.

    Those that wait for a read while another is under way share the next one, and its error: if EvoLink is slow to
    respond, they do not wait for a read each.
    """
    reading = _readings.setdefault(account.settings, _Reading())
    asked_at = time.monotonic()
    with reading.read_lock:
        now = time.monotonic()
        if now - reading.read_at < max_age or reading.read_at >= asked_at:
            return reading
        if reading.failed_at < asked_at:
            reading.refresh(account, now)
        if reading.failure is not None:
            # Each of its own, which its call completes with what it knows.
            raise copy.copy(reading.failure) from reading.failure.__cause__
    return reading


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
