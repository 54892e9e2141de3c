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

from airflow_provider_evolink import ledger as ledgers
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
from airflow_provider_evolink.ledger import Ledger, LedgerError, Phase, Policy, Record

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Submission
    from airflow_provider_evolink.api.request import Request

_SENDINGS = 3
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
    :param task_instance: dag, run, task and map index.
    :param announce: is given the id as soon as it is known.
    :param is_killed: whether the task has been told to stop.
    """

    ledger: Ledger
    send: Send
    task_instance: tuple[str, str, str, int]
    policy: Policy
    log: Any
    announce: Callable[[str], None]
    is_killed: Callable[[], bool]
    sleep: Callable[[float], None] = field(default=time.sleep)

    def settle(self, request: Request, fingerprint: str, *, try_number: int, max_tries: int) -> Record:
        """
        Do what the ledger allows: submit, submit again under the same key, or go on with what is there.

        :param max_tries: Airflow's present figure; higher than the record's after a clear.
        :return: the record, in phase ``submitted`` or ``finished``.
        :raises EvoLinkError: nothing may be sent, or EvoLink turned it down, or its answer was lost.
        """
        known = self.ledger.read()
        cleared = known is not None and known.max_tries is not None and max_tries > known.max_tries
        decision = ledgers.decide(known, fingerprint, self.policy, cleared=cleared)
        match decision:
            case ledgers.Refuse(error):
                raise error
            case ledgers.Attach(record) | ledgers.Finish(record):
                self._announce(record, "going on with it; nothing is submitted")
                return record
            case ledgers.Replay(record):
                return self._submit(request, record, is_replay=True)
            case ledgers.Submit(ordinal, earlier):
                key = ledgers.idempotency_key(self.task_instance, fingerprint, ordinal)
                intent = Record(
                    Phase.INTENT,
                    fingerprint,
                    key,
                    ordinal,
                    request.model,
                    time.time(),
                    try_number=try_number,
                    earlier=earlier,
                )
                if earlier:
                    self.log.warning("Submitting anew; paid for before: %s", ", ".join(earlier))
                return self._submit(request, self.ledger.write(intent))

    def _submit(self, request: Request, intent: Record, *, is_replay: bool = False) -> Record:
        sent_before = is_replay
        for left in reversed(range(_SENDINGS)):
            if sent_before:
                self.log.warning(
                    "Sending the submission again under the same key %s: what became of it is not known.",
                    intent.key,
                )
            try:
                return self._accepted(intent, self._post(request, intent, sent_before), sent_before)
            except _UNKNOWN as error:
                sent_before = True
                if left == 0 or self.policy.on_unknown_submission != "replay" or self.is_killed():
                    raise self._unknown(intent, error) from error
                self.log.warning("%s", error)
                self.sleep(_pause(error))
        raise AssertionError("unreachable")

    def _post(self, request: Request, intent: Record, sent_before: bool) -> Submission:
        if self.is_killed():
            if sent_before:
                raise self._unknown(intent, NotSentError("The task was told to stop before it sent this again."))
            self._withdraw(intent)
            raise NotSentError("The task was told to stop before the submission was sent; nothing was charged by it.")
        try:
            return self.send(request, intent.key)
        except NotSentError as error:
            if sent_before:
                raise self._unknown(intent, NotSentError("EvoLink could not be reached to send this again.")) from error
            self._withdraw(intent)
            raise
        except ApiError as error:
            if isinstance(error, ServerError) or not error.documented:
                raise
            if not sent_before:
                self._withdraw(intent)
            raise

    def _accepted(self, intent: Record, submission: Submission, sent_before: bool) -> Record:
        generation = submission.generation
        replay = None
        if sent_before:
            replay = "confirmed" if submission.replayed else "unconfirmed"
        record = replace(
            intent,
            phase=Phase.SUBMITTED,
            generation_id=generation.id,
            # Our own clock: the deadline is reckoned by it. Of a sending that was repeated, the first one counts.
            submitted_at=intent.intent_at if sent_before else time.time(),
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
        if self.policy.on_unknown_submission == "replay":
            after = "A retry sends the same key and body again, which EvoLink's own clients rely on to pay once."
            return SubmissionUnknownError(f"{error} It may have been accepted and charged (key {intent.key}). {after}")
        after = "Nothing is sent again: look for it in EvoLink's task list before you clear the ledger."
        return SubmissionAbandonedError(f"{error} It may have been accepted and charged (key {intent.key}). {after}")


def _pause(error: EvoLinkError) -> float:
    told: Any = error.retry_after if isinstance(error, ApiError) else None
    return float(told) if told is not None else _PAUSE_SECONDS
