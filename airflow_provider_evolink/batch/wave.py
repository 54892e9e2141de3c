# SPDX-License-Identifier: Apache-2.0
"""Submit the rows of a wave: upload their media, write their intents, send them concurrently, write their ids.

Uploads come first, since the intents hold the links; a row whose media can't be uploaded is not sent. One write holds
all intents before the first request leaves, and fences off a try that has been superseded; one holds the ids before
anything else is done with them. A crash in between leaves the intents, and a retry sends the same rows again under the
same idempotency keys.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import (
    AccessDeniedError,
    AuthenticationError,
    EvoLinkError,
    InsufficientCreditsError,
    LedgerError,
    RateLimitedError,
)
from airflow_provider_evolink.batch.budget import Budget
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status, replaced_entry
from airflow_provider_evolink.batch.ledger import BatchLedger, Chunk
from airflow_provider_evolink.media.uploader import Uploader
from airflow_provider_evolink.polling.rate_limiter import RateLimiter
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.media_links import ready_to_send
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.reports import killed_before_sending, unconfirmed_replay
from airflow_provider_evolink.submission.send_outcome import (
    ID_WRITES,
    PAUSE_SECONDS,
    AttemptBudget,
    LeaveOpen,
    SendAgain,
    Withdraw,
    about_to_send,
    accepted,
    after_failed_send,
    after_failure,
    pause_steps,
)

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission
    from airflow_provider_evolink.api.request import GenerationRequest

# After these no other row would be accepted either.
_CONCERNS_ALL = (InsufficientCreditsError, AuthenticationError, AccessDeniedError)
# After this many rows in a row that EvoLink did not accept for temporary reasons, it is down for all.
_OUTAGE_FAILURES = 3
# Seconds for which a wave waits for EvoLink to accept anything again after a 429.
_MAX_RATE_LIMITED_SECONDS = 600.0

Post = Callable[["GenerationRequest", str], Awaitable["Submission"]]


@dataclass(frozen=True, slots=True)
class Job:
    """A row to be sent.

    :param entry: what the ledger holds about it, with what a new submission needs filled in.
    :param request: to send.
    :param intent: new, or the recorded one that is sent again.
    :param used: what this try has used up for it.
    """

    entry: RowEntry
    request: GenerationRequest
    intent: LedgerRecord
    used: AttemptBudget = field(default_factory=AttemptBudget)


@dataclass
class WaveSubmitter:
    """Submit waves of rows.

    :param ledger: of the batch.
    :param post: sends a request with an idempotency key, once.
    :param policy: of the DAG's author.
    :param limiter: of everything that is sent to the account.
    :param budget: learns what EvoLink reserves.
    :param uploader: of the account.
    :param is_killed: whether the task has been killed.
    :param log: receives warnings.
    :param stopped_by: the error after which no other row would be accepted either, once there is one.
    """

    ledger: BatchLedger
    post: Post
    policy: Policy
    limiter: RateLimiter
    budget: Budget
    uploader: Uploader
    is_killed: Callable[[], bool]
    log: Any
    stopped_by: EvoLinkError | None = None
    _failures_in_a_row: int = 0
    _refusal: EvoLinkError | None = field(default=None, init=False)

    async def submit(self, chunk: Chunk, jobs: Sequence[Job]) -> None:
        """Submit the rows of one chunk; see :attr:`stopped_by` afterwards.

        :raises LedgerError: the intents could not be recorded; nothing of this round was sent.
        """
        pending = await self._get_links(chunk, jobs)
        if self.stopped_by is not None or not pending:
            self.ledger.write(chunk)
            return
        patient_until = time.monotonic() + _MAX_RATE_LIMITED_SECONDS
        while pending:
            sent = self._record_sends(chunk, pending)
            outcomes = await self._send_all(chunk, pending, sent)
            is_patient = time.monotonic() < patient_until
            steps = [
                self._finish(chunk, job, sent[job.entry.key], outcome, is_patient=is_patient)
                for job, outcome in zip(pending, outcomes, strict=True)
            ]
            await self._record_ids(chunk)
            again = [step for step in steps if step is not None]
            pending = [job for job, _ in again]
            await self._pause(max((pause for _, pause in again), default=0.0))

    async def _get_links(self, chunk: Chunk, jobs: Sequence[Job]) -> list[Job]:
        """Upload the media of new submissions; return the rows that can be sent."""
        outcomes = await asyncio.gather(*map(self._with_links, jobs))
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, EvoLinkError):
                self.budget.settle(job.entry.price_class, None)
                chunk.put(replace(job.entry, problem=self._problem(outcome)))
        ready = [outcome for outcome in outcomes if isinstance(outcome, Job)]
        is_outage = not any(job.request.pending_media for job in ready)
        # Rows that share a file share its error.
        for error in {id(error): error for error in outcomes if isinstance(error, EvoLinkError)}.values():
            if is_outage or isinstance(error, _CONCERNS_ALL):
                self._note_failure(error)
        return ready

    async def _with_links(self, job: Job) -> Job | EvoLinkError:
        """Return a row with the links of its media in its intent; an intent that was sent before has them already."""
        if not job.request.pending_media or job.intent.send_count > 0:
            return job
        try:
            found = await self.uploader.links_for(job.request.pending_media)
        except EvoLinkError as error:
            return error
        return replace(job, intent=replace(job.intent, media_links=found.links, media_expire_at=found.expire_at))

    def _finish(
        self, chunk: Chunk, job: Job, sent: LedgerRecord, outcome: Submission | EvoLinkError, *, is_patient: bool
    ) -> tuple[Job, float] | None:
        """Note what a send has led to; return the row and a pause in seconds if it is to be sent again."""
        if not isinstance(outcome, EvoLinkError):
            self._failures_in_a_row = 0
            self._accept(chunk, job, sent, outcome)
            return None
        step = self._after_failure(job, outcome, is_patient=is_patient)
        if isinstance(step, SendAgain):
            return replace(job, intent=after_failed_send(job.intent, sent, outcome), used=step.used), step.pause
        self._give_up(chunk, job, sent, outcome, step)
        self._note_failure(outcome)
        return None

    def _note_failure(self, error: EvoLinkError) -> None:
        self._failures_in_a_row = 0 if error.permanent else self._failures_in_a_row + 1
        if isinstance(error, _CONCERNS_ALL) or self._failures_in_a_row >= _OUTAGE_FAILURES:
            self.stopped_by = self.stopped_by or error

    def _record_sends(self, chunk: Chunk, jobs: Sequence[Job]) -> dict[str, LedgerRecord]:
        now = time.time()
        sent = {job.entry.key: about_to_send(job.intent, now=now) for job in jobs}
        for job in jobs:
            chunk.put(_with_record(job, sent[job.entry.key]))
        self.ledger.write(chunk, first_sends={job.entry.key for job in jobs if job.intent.send_count == 0})
        return sent

    async def _send_all(
        self, chunk: Chunk, jobs: Sequence[Job], sent: Mapping[str, LedgerRecord]
    ) -> list[Submission | EvoLinkError]:
        """Send rows concurrently; if this try is cut off meanwhile, as by its timeout, record what it knows."""
        begun: set[str] = set()
        sends = [asyncio.ensure_future(self._send(job, sent[job.entry.key], begun)) for job in jobs]
        try:
            return await asyncio.gather(*sends)
        except BaseException:
            for job, send in zip(jobs, sends, strict=True):
                # A timeout that strikes within one of them does not end the others.
                send.cancel()
                self._cut_off(chunk, job, sent[job.entry.key], send, has_begun=job.entry.key in begun)
            with suppress(LedgerError):
                self.ledger.write(chunk)
            raise

    def _cut_off(
        self,
        chunk: Chunk,
        job: Job,
        sent: LedgerRecord,
        send: asyncio.Future[Submission | EvoLinkError],
        *,
        has_begun: bool,
    ) -> None:
        """Note what is known of a send that goes no further: its response, or that nothing ever left."""
        is_answered = send.done() and not send.cancelled() and send.exception() is None
        if is_answered and not isinstance(outcome := send.result(), EvoLinkError):
            self._accept(chunk, job, sent, outcome)
        elif not has_begun and job.intent.in_doubt_since is None:
            self._give_up(chunk, job, sent, killed_before_sending(), Withdraw())

    async def _send(self, job: Job, sent: LedgerRecord, begun: set[str]) -> Submission | EvoLinkError:
        """Send a row; its key is in ``begun`` from the moment at which the request may leave."""
        try:
            await self._wait_for_turn()
            # What may have been accepted before is sent all the same: it needs no credits.
            if self._refusal is not None and job.intent.in_doubt_since is None:
                return self._refusal
            begun.add(job.entry.key)
            submission = await self.post(ready_to_send(job.request, sent), sent.idempotency_key)
        except EvoLinkError as error:
            self._note_refusal(error)
            return error
        self.limiter.on_response(time.monotonic())
        return submission

    def _note_refusal(self, error: EvoLinkError) -> None:
        """Note what the rows that wait to be sent have to know."""
        if isinstance(error, RateLimitedError):
            self.limiter.on_rate_limited(time.monotonic(), error.retry_after)
        elif isinstance(error, _CONCERNS_ALL):
            self._refusal = error

    async def _wait_for_turn(self) -> None:
        while not self.is_killed() and (seconds := self.limiter.reserve(time.monotonic())) > 0:
            await self._pause(seconds)
        if self.is_killed():
            raise killed_before_sending()

    def _after_failure(self, job: Job, error: EvoLinkError, *, is_patient: bool) -> SendAgain | Withdraw | LeaveOpen:
        if isinstance(error, RateLimitedError) and is_patient and self.stopped_by is None and not self.is_killed():
            # The limiter waits for as long as EvoLink asks, with all rows together.
            return SendAgain(0.0, job.used)
        return after_failure(job.intent, error, self.policy, used=job.used, killed=self.is_killed())

    def _accept(self, chunk: Chunk, job: Job, sent: LedgerRecord, submission: Submission) -> None:
        record = accepted(job.intent, sent, submission)
        chunk.put(replace(_with_record(job, record), problem=None, is_outdated=False))
        self.budget.settle(job.entry.price_class, record.credits_reserved)
        if record.replay == "unconfirmed":
            self.log.error("Row %r: %s", job.entry.key, unconfirmed_replay(record))

    def _give_up(
        self, chunk: Chunk, job: Job, sent: LedgerRecord, error: EvoLinkError, step: Withdraw | LeaveOpen
    ) -> None:
        if isinstance(step, LeaveOpen):
            # It may have been accepted: its expected price stays committed.
            record = after_failed_send(job.intent, sent, error)
            problem = Problem.of(step.error, self.ledger.try_number, Status.UNFINISHED)
            chunk.put(replace(_with_record(job, record), problem=problem))
            return
        self.budget.settle(job.entry.price_class, None)
        known = job.entry.record
        is_replaced = known is not None and known.phase not in {Phase.INTENT, Phase.WITHDRAWN}
        remaining = known if is_replaced else replace(sent, phase=Phase.WITHDRAWN)
        chunk.put(replace(job.entry, record=remaining, problem=self._problem(error)))

    def _problem(self, error: EvoLinkError) -> Problem | None:
        """Return why a row was not accepted; ``None`` if that has nothing to do with the row."""
        if isinstance(error, _CONCERNS_ALL):
            return None
        status = Status.FAILED if error.permanent else Status.UNFINISHED
        return Problem.of(error, self.ledger.try_number, status)

    async def _record_ids(self, chunk: Chunk) -> None:
        """Record the ids, the only handle on what was paid for.

        :raises LedgerError: the ledger stays unavailable. The intents are there, so a retry finds the same generations.
        """
        for remaining in reversed(range(ID_WRITES)):
            try:
                self.ledger.write(chunk)
                return
            except LedgerError as error:
                ids = ", ".join(filter(None, (row.generation_id for row in chunk.rows.values())))
                self.log.error("Generations are paid for, but: %s They are %s", error, ids)
                if not remaining:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Wait in short steps, so that a kill is noticed at once."""
        for step in pause_steps(seconds):
            if self.is_killed():
                break
            await asyncio.sleep(step)


def _with_record(job: Job, record: LedgerRecord) -> RowEntry:
    """Return the row's entry with a record of this submission, whether that is new or was sent before."""
    known = job.entry.record
    if known is None or known.idempotency_key == record.idempotency_key or known.phase is Phase.WITHDRAWN:
        return replace(job.entry, record=record)
    return replaced_entry(job.entry, record)
