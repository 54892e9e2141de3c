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
    EvoLinkError,
    GenerationLostError,
    GenerationNotFoundError,
    IdempotencyConflictError,
    InvalidInputError,
    NotSentError,
    SubmissionAbandonedError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.api.generation import CONFIRMATION_SECONDS, NOT_FOUND_GRACE
from airflow_provider_evolink.submission.decision import (
    CONFLICT,
    Attach,
    Decision,
    Finish,
    Policy,
    Refuse,
    RemoteNotFound,
    RemoteState,
    Replay,
    Submit,
    apply_remote_state,
    decide,
)
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import (
    LedgerError,
    LedgerRecord,
    Phase,
    digest_api_key,
    new_idempotency_key,
)
from airflow_provider_evolink.submission.send_outcome import (
    PAUSE_SECONDS,
    AttemptBudget,
    LeaveOpen,
    SendAgain,
    Withdraw,
    about_to_send,
    accepted,
    after_failure,
    was_not_accepted,
)

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation, Submission
    from airflow_provider_evolink.api.request import GenerationRequest

_ID_WRITES = 3
_STEP_SECONDS = 0.2

Send = Callable[["GenerationRequest", str], "Submission"]


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """
    What a task instance has been brought to.

    :param record: in phase ``submitted`` or ``finished``.
    :param seen: what EvoLink said of the generation a moment ago, if it was asked and answered.
    """

    record: LedgerRecord
    generation: Generation | None = None


@dataclass
class Submitter:
    """
    Brings one task instance to a generation, and pays for it at most once.

    :param ledger: the task instance's record.
    :param send: sends a request with an idempotency key, once.
    :param ask: reads a generation; free.
    :param announce: is given the record as soon as its id is known.
    :param is_killed: whether the task has been told to stop.
    """

    ledger: Ledger
    send: Send
    read: Callable[[str], Generation]
    policy: Policy
    log: Any
    on_submitted: Callable[[LedgerRecord], None]
    is_killed: Callable[[], bool]
    sleep: Callable[[float], None] = field(default=time.sleep)

    def submit_or_resume(
        self,
        known: LedgerRecord | None,
        request: GenerationRequest,
        fingerprint: str,
        *,
        try_number: int,
        max_tries: int,
        api_key: str = "",
    ) -> SubmissionResult:
        """
        Do what the ledger allows: submit, submit again under the same key, or go on with what is there.

        :param known: what the ledger holds.
        :param max_tries: Airflow's present figure; another one than the record's after a clear.
        :param api_key: of the connection; only a digest of it is kept.
        :raises EvoLinkError: nothing may be sent, or EvoLink turned it down, or its answer was lost.
        """
        match self._decide(known, fingerprint, max_tries, api_key):
            case Refuse(error):
                raise error
            case Attach(record, seen) | Finish(record, seen):
                return self._resume(record, seen, max_tries)
            case Replay(record):
                return SubmissionResult(self._submit(request, replace(record, max_tries=max_tries)))
            case Submit() as submit:
                self._warn_about_new_charge(known, submit, try_number)
                intent = _intent(submit, request, fingerprint, api_key)
                intent = replace(intent, try_number=try_number, max_tries=max_tries)
                return SubmissionResult(self._submit(request, intent, replaced=known))

    def _warn_about_new_charge(self, known: LedgerRecord | None, submit: Submit, try_number: int) -> None:
        """No later try pays for a new generation in silence."""
        if submit.previous_ids:
            self.log.warning("Submitting anew; submitted before: %s", ", ".join(submit.previous_ids))
        elif known is None and try_number > 1:
            self.log.warning(
                "This is try %d, and the ledger holds nothing of the earlier ones: none of them came to a submission, "
                "or their record was deleted. A new generation is paid for.",
                try_number,
            )

    def resume_without_input(self, known: LedgerRecord | None, error: Exception, *, max_tries: int) -> SubmissionResult:
        """
        Go on with what is paid for, though its input can't be read any more and so not be compared.

        :param error: why it can't be read; raised if there is nothing to go on with.
        """
        if known is None:
            raise error
        is_lasting = isinstance(error, InvalidInputError)
        why = error.refusal if isinstance(error, InvalidInputError) else str(error)
        match self._decide(known, known.fingerprint, max_tries):
            case Attach(record, seen) | Finish(record, seen):
                self.log.warning("%s So it can't be compared with what was submitted, which is gone on with.", why)
                return self._resume(record, seen, max_tries)
            case Replay(record):
                doubt = (
                    f"{why} Nothing was sent now, but an earlier try sent it under the key {record.idempotency_key} and its answer "
                    "was lost: it may have been charged."
                )
                if is_lasting:
                    raise SubmissionAbandonedError(
                        f"{doubt} Restore the input and clear the task: the same request is then sent again."
                    )
                raise SubmissionUnknownError(f"{doubt} A retry reads the input again.")
            case Refuse(SubmissionAbandonedError() | GenerationLostError() as refusal) if is_lasting:
                self.log.warning("%s", why)
                raise refusal
            case _:
                raise error

    def _decide(
        self, known: LedgerRecord | None, fingerprint: str, max_tries: int, api_key: str | None = None
    ) -> Decision:
        remote, known = self._read_remote(known, max_tries)
        # Only a clear changes Airflow's figure: to more, or to less where the DAG's ``retries`` were lowered before.
        cleared = known is not None and known.max_tries is not None and max_tries != known.max_tries
        digest = None if known is None or api_key is None else digest_api_key(known.idempotency_key, api_key)
        return decide(known, fingerprint, remote, self.policy, cleared=cleared, now=time.time(), api_key_digest=digest)

    def _resume(self, record: LedgerRecord, generation: Generation | None, max_tries: int) -> SubmissionResult:
        """Go on with what is there. A clear counts once: no retry after it is to be taken for it."""
        noted = replace(record, max_tries=max_tries)
        self._try_to_record(noted, record)
        self._announce(noted, "going on with it; nothing is submitted")
        return SubmissionResult(noted, generation)

    def _read_remote(self, known: LedgerRecord | None, max_tries: int) -> tuple[RemoteState, LedgerRecord | None]:
        """Ask for a generation that an earlier try has left; what has become of it is worth a free read."""
        if known is None or known.phase is not Phase.SUBMITTED or known.generation_id is None:
            return None, known
        try:
            generation = self.read(known.generation_id)
        except GenerationNotFoundError as error:
            self.log.warning("%s", error)
            return self._not_found(known)
        except EvoLinkError as error:
            self.log.warning("%s", error)
            return None, known
        noted = apply_remote_state(replace(known, missing_since=None), generation)
        if noted.phase is not known.phase:
            self.log.warning(
                "Generation %s has ended as %s at EvoLink (%s).",
                generation.id,
                generation.status,
                noted.error_code or "no code",
            )
            if not known.finished_without_waiting:
                # Whoever cleared the task before this was known has not asked for another generation.
                noted = replace(noted, max_tries=max_tries)
        if noted != known:
            self.ledger.write(noted)
        return generation, noted

    def _not_found(self, known: LedgerRecord) -> tuple[RemoteState, LedgerRecord]:
        """One answer that there is no such generation may be a slip; two, minutes apart, are not."""
        now = time.time()
        if now - (known.submitted_at or 0.0) < NOT_FOUND_GRACE:
            return None, known
        if known.missing_since is None:
            known = self.ledger.write(replace(known, missing_since=now))
        is_gone = known.missing_since is not None and now - known.missing_since >= CONFIRMATION_SECONDS
        return (RemoteNotFound() if is_gone else None), known

    def _submit(
        self, request: GenerationRequest, intent: LedgerRecord, replaced: LedgerRecord | None = None
    ) -> LedgerRecord:
        used = AttemptBudget()
        while True:
            # Each sending has its own write: a try whose place was taken gets no further.
            sent = self._record_send(intent)
            try:
                submission = self._post(request, sent)
            except EvoLinkError as error:
                match after_failure(intent, error, self.policy, used=used, killed=self.is_killed()):
                    case SendAgain(pause, used):
                        self.log.warning("%s", error)
                        intent = _after_failed_send(intent, sent, error)
                        self._pause(pause)
                    case Withdraw():
                        self._withdraw(sent, replaced)
                        raise
                    case LeaveOpen(doubt):
                        self._try_to_record(_after_failed_send(intent, sent, error), sent)
                        raise doubt from error
            else:
                return self._accepted(intent, sent, submission)

    def _record_send(self, intent: LedgerRecord) -> LedgerRecord:
        try:
            return self.ledger.write(about_to_send(intent, now=time.time()))
        except LedgerError as error:
            if intent.in_doubt_since is None:
                raise
            text = f"{error} An earlier sending may have been accepted and charged (key {intent.idempotency_key})."
            raise LedgerError(text) from error

    def _pause(self, seconds: float) -> None:
        """Wait in short steps, so that a kill is noticed at once."""
        left = seconds
        while left > 0 and not self.is_killed():
            self.sleep(min(left, _STEP_SECONDS))
            left -= _STEP_SECONDS

    def _post(self, request: GenerationRequest, intent: LedgerRecord) -> Submission:
        if self.is_killed():
            raise NotSentError("The task was told to stop before the submission was sent; nothing was charged by it.")
        if intent.send_count > 1:
            self.log.warning("Sending the submission again under the same key %s.", intent.idempotency_key)
        return self.send(request, intent.idempotency_key)

    def _accepted(self, intent: LedgerRecord, sent: LedgerRecord, submission: Submission) -> LedgerRecord:
        now = time.time() if sent.last_sent_at is None else sent.last_sent_at
        record = replace(
            accepted(intent, submission, now=now), send_count=sent.send_count, last_sent_at=sent.last_sent_at
        )
        self._record_id(record)
        self._announce(record, "submitted")
        if record.replay == "unconfirmed":
            self.log.error(
                "EvoLink did not say that it knew the key %s: either the first sending never reached it, or it has "
                "made, and charges, two generations. Compare EvoLink's task list with %s.",
                record.idempotency_key,
                record.generation_id,
            )
        return record

    def _try_to_record(self, known: LedgerRecord, sent: LedgerRecord) -> None:
        """Note what is known; where it can't be noted, the record says less than it might."""
        if known == sent:
            return
        try:
            self.ledger.write(known)
        except LedgerError as error:
            self.log.warning("%s", error)

    def _record_id(self, record: LedgerRecord) -> None:
        """The id is the only handle on the money, so losing the ledger now must not lose it."""
        for left in reversed(range(_ID_WRITES)):
            try:
                self.ledger.write(record)
                return
            except LedgerError as error:
                self.log.error("Generation %s is paid for, but: %s", record.generation_id, error)
                if left:
                    self.sleep(PAUSE_SECONDS)

    def _withdraw(self, intent: LedgerRecord, replaced: LedgerRecord | None) -> None:
        """What was not taken replaces nothing: what was paid for before is the task's again."""
        try:
            self.ledger.write(replaced or replace(intent, phase=Phase.WITHDRAWN))
        except LedgerError as error:
            self.log.warning("The intent stays in the ledger, though nothing was charged: %s", error)

    def _announce(self, record: LedgerRecord, what: str) -> None:
        if record.generation_id is None:
            return
        price = "" if record.credits_reserved is None else f", {record.credits_reserved:g} credits reserved"
        self.log.info("Generation %s: %s (%s%s).", record.generation_id, what, record.model, price)
        self.on_submitted(record)


def _intent(submit: Submit, request: GenerationRequest, fingerprint: str, api_key: str) -> LedgerRecord:
    key = new_idempotency_key()
    return LedgerRecord(
        Phase.INTENT,
        fingerprint,
        key,
        submit.submission_number,
        request.model,
        time.time(),
        api_key_digest=digest_api_key(key, api_key),
        previous_ids=submit.previous_ids,
    )


def _after_failed_send(intent: LedgerRecord, sent: LedgerRecord, error: EvoLinkError) -> LedgerRecord:
    """What is known after a sending has failed: it is in doubt only as far as that one, or an earlier one, is."""
    since = intent.in_doubt_since if was_not_accepted(error) else sent.in_doubt_since
    replay = CONFLICT if isinstance(error, IdempotencyConflictError) else sent.replay
    return replace(sent, in_doubt_since=since, replay=replay)
