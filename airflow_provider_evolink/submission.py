# SPDX-License-Identifier: Apache-2.0
"""
The paid request: intent → one POST → id, as the ledger decides.

The order is the guarantee. The intent is durable before the request leaves and fences off any other try; the id is
durable before anything else is done with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import (
    ApiError,
    ConnectionLostError,
    EvoLinkError,
    MalformedAnswerError,
    NotSentError,
    ServerError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.decision import (
    MAX_SENDINGS,
    Attach,
    Decision,
    Finish,
    Policy,
    Refuse,
    Replay,
    Submit,
    decide,
)
from airflow_provider_evolink.ledger import Ledger, LedgerError, Phase, Record, new_key

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission
    from airflow_provider_evolink.api.request import Request

# Of one try; EvoLink's own client repeats once too.
_SENDINGS = 2
_PAUSE_SECONDS = 1.0
_ID_WRITES = 3
_UNKNOWN = (ServerError, ConnectionLostError, MalformedAnswerError)

Send = Callable[["Request", str], "Submission"]


@dataclass
class Submitter:
    """
    Brings one task instance to a generation, and pays for it at most once.

    :param ledger: the task instance's record.
    :param send: sends a request with an idempotency key, once.
    :param announce: is given the id as soon as it is known.
    :param is_killed: whether the task has been told to stop.
    """

    ledger: Ledger
    send: Send
    policy: Policy
    log: Any
    announce: Callable[[str], None]
    is_killed: Callable[[], bool]
    sleep: Callable[[float], None] = field(default=time.sleep)

    def settle(
        self, known: Record | None, request: Request, fingerprint: str, *, try_number: int, max_tries: int
    ) -> Record:
        """
        Do what the ledger allows: submit, submit again under the same key, or go on with what is there.

        :param known: what the ledger holds.
        :param max_tries: Airflow's present figure; higher than the record's after a clear.
        :return: the record, in phase ``submitted`` or ``finished``.
        :raises EvoLinkError: nothing may be sent, or EvoLink turned it down, or its answer was lost.
        """
        match self._decide(known, fingerprint, max_tries):
            case Refuse(error):
                raise error
            case Attach(record) | Finish(record):
                self._announce(record, "going on with it; nothing is submitted")
                return record
            case Replay(record):
                return self._submit(request, record)
            case Submit(ordinal, earlier):
                if earlier:
                    self.log.warning("Submitting anew; submitted before: %s", ", ".join(earlier))
                intent = Record(
                    Phase.INTENT,
                    fingerprint,
                    new_key(),
                    ordinal,
                    request.model,
                    time.time(),
                    try_number=try_number,
                    earlier=earlier,
                )
                return self._submit(request, intent)

    def go_on(self, known: Record | None, error: Exception, *, max_tries: int) -> Record:
        """
        Go on with what is paid for, though its input can't be read any more and so not be compared.

        :param error: why it can't be read; raised if there is nothing to go on with.
        """
        if known is None:
            raise error
        match self._decide(known, known.fingerprint, max_tries):
            case Attach(record) | Finish(record):
                self.log.warning("%s So it can't be compared with what was submitted, which is gone on with.", error)
                self._announce(record, "going on with it; nothing is submitted")
                return record
            case Replay(record):
                raise SubmissionAbandonedError(
                    f"{error} But an earlier try sent it under the key {record.key} and its answer was lost: it may "
                    "have been charged. Restore the input and clear the task: the same request is then sent again."
                )
            case _:
                raise error

    def _decide(self, known: Record | None, fingerprint: str, max_tries: int) -> Decision:
        cleared = known is not None and known.max_tries is not None and max_tries > known.max_tries
        return decide(known, fingerprint, self.policy, cleared=cleared, now=time.time())

    def _submit(self, request: Request, intent: Record) -> Record:
        for left in reversed(range(_SENDINGS)):
            # Each sending has its own write: it counts, and a try whose place was taken gets no further.
            intent = self.ledger.write(replace(intent, sendings=intent.sendings + 1))
            try:
                return self._accepted(intent, self._post(request, intent))
            except _UNKNOWN as error:
                may_replay = left and intent.sendings < MAX_SENDINGS and not self.is_killed()
                if not may_replay or self.policy.on_unknown_submission != "replay":
                    raise self._unknown(intent, error) from error
                self.log.warning("%s", error)
                self.sleep(_pause(error))
        raise AssertionError("unreachable")

    def _post(self, request: Request, intent: Record) -> Submission:
        is_repeated = intent.sendings > 1
        if is_repeated:
            self.log.warning(
                "Sending the submission again under the same key %s: what became of it is not known.", intent.key
            )
        try:
            self._stop_if_killed()
            return self.send(request, intent.key)
        except ServerError:
            raise
        except (NotSentError, ApiError) as error:
            if is_repeated:
                raise self._unknown(intent, _again(error)) from error
            self._withdraw(intent)
            raise

    def _stop_if_killed(self) -> None:
        if self.is_killed():
            raise NotSentError("The task was told to stop before the submission was sent; nothing was charged by it.")

    def _accepted(self, intent: Record, submission: Submission) -> Record:
        generation = submission.generation
        is_repeated = intent.sendings > 1
        replay = None
        if is_repeated:
            replay = "confirmed" if submission.replayed else "unconfirmed"
        record = replace(
            intent,
            phase=Phase.SUBMITTED,
            generation_id=generation.id,
            # Our own clock: the deadline is reckoned by it. Of a sending that was repeated, the first one counts.
            submitted_at=intent.intent_at if is_repeated else time.time(),
            estimated_time=generation.estimated_time,
            credits_reserved=generation.usage.credits_reserved,
            billing_rule=generation.usage.billing_rule,
            replay=replay,
        )
        self._remember(record)
        self._announce(record, "submitted")
        if replay == "unconfirmed":
            self.log.error(
                "EvoLink did not say that it knew the key %s: either the first sending never reached it, or it has "
                "made, and charges, two generations. Compare EvoLink's task list with %s.",
                intent.key,
                generation.id,
            )
        return record

    def _remember(self, record: Record) -> None:
        """The id is the only handle on the money, so losing the ledger now must not lose it."""
        for left in reversed(range(_ID_WRITES)):
            try:
                self.ledger.write(record)
                return
            except LedgerError as error:
                self.log.error("Generation %s is paid for, but: %s", record.generation_id, error)
                if left:
                    self.sleep(_PAUSE_SECONDS)

    def _withdraw(self, intent: Record) -> None:
        try:
            self.ledger.write(replace(intent, phase=Phase.WITHDRAWN))
        except LedgerError as error:
            self.log.warning("The intent stays in the ledger, though nothing was charged: %s", error)

    def _announce(self, record: Record, what: str) -> None:
        if record.generation_id is None:
            return
        price = "" if record.credits_reserved is None else f", {record.credits_reserved:g} credits reserved"
        self.log.info("Generation %s: %s (%s%s).", record.generation_id, what, record.model, price)
        self.announce(record.generation_id)

    def _unknown(self, intent: Record, error: EvoLinkError) -> EvoLinkError:
        """What a try that can't settle it ends with; it says what an earlier sending may have cost."""
        doubt = f"{error} An earlier sending" if intent.sendings > 1 else f"{error} It"
        facts = f"{doubt} may have been accepted and charged (key {intent.key})."
        if self.policy.on_unknown_submission == "fail" or intent.sendings >= MAX_SENDINGS:
            return SubmissionAbandonedError(
                f"{facts} Nothing is sent again: look for it in EvoLink's task list before you clear the ledger."
            )
        after = "the same key and body are sent again, which EvoLink's own clients rely on to pay once."
        if error.permanent:
            return SubmissionAbandonedError(f"{facts} Mend what was refused and clear the task: {after}")
        return SubmissionUnknownError(f"{facts} With a retry {after}")


def _again(error: EvoLinkError) -> EvoLinkError:
    """What a repeated sending ended with; that this one cost nothing would be half the truth."""
    if isinstance(error, NotSentError):
        return NotSentError("It could not be sent again: EvoLink was out of reach, or the task was stopped.")
    return error


def _pause(error: EvoLinkError) -> float:
    told: Any = error.retry_after if isinstance(error, ApiError) else None
    return float(told) if told is not None else _PAUSE_SECONDS
