# SPDX-License-Identifier: Apache-2.0
"""Carry out the decision: write the intent, send one POST, record the id.

The order is the guarantee. Media are uploaded before the intent is written, which holds their links. The intent is
durable before the request leaves, and writing it fences off a try that has been superseded; the id is durable before
anything else is done with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import (
    EvoLinkError,
    GenerationLostError,
    InvalidInputError,
    LedgerError,
    SubmissionAbandonedError,
)
from airflow_provider_evolink.submission.decision import (
    Attach,
    Decision,
    Finish,
    Policy,
    Refuse,
    Replay,
    Submit,
    decide,
)
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.media_links import ready_to_send
from airflow_provider_evolink.submission.record import LedgerRecord, Phase, digest_api_key
from airflow_provider_evolink.submission.remote_state import RemoteReader
from airflow_provider_evolink.submission.reports import (
    input_unreadable,
    killed_before_sending,
    refusal_text,
    unconfirmed_replay,
)
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
    new_intent,
    pause_steps,
)

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation, Submission
    from airflow_provider_evolink.api.request import GenerationRequest

Send = Callable[["GenerationRequest", str], "Submission"]


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """What a task instance has submitted.

    :param record: in phase ``submitted`` or ``finished``.
    :param generation: EvoLink's latest report about the generation, if it was read.
    """

    record: LedgerRecord
    generation: Generation | None = None


@dataclass
class Submitter:
    """Submit a generation for one task instance, or resume it, and pay for it at most once.

    :param ledger: of the task instance.
    :param send: sends a request with an idempotency key, once.
    :param read: reads a generation by id; free.
    :param policy: of the DAG's author.
    :param log: receives progress and warnings.
    :param on_submitted: receives the record as soon as its id is known and durable.
    :param is_killed: whether the task has been killed.
    :param upload: returns the links of a request's media by their identity; free.
    :param admit: returns the context of a new submission, which it may refuse; a replay was admitted when it was new.
    :param sleep: waits for some seconds.
    """

    ledger: Ledger
    send: Send
    read: Callable[[str], Generation]
    policy: Policy
    log: Any
    on_submitted: Callable[[LedgerRecord], None]
    is_killed: Callable[[], bool]
    upload: Callable[[GenerationRequest], Mapping[str, str]]
    admit: Callable[[GenerationRequest], AbstractContextManager[None]] = lambda _: nullcontext()
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
        """Do what the ledger allows: submit, submit again under the same idempotency key, or resume what is there.

        :param known: what the ledger holds.
        :param request: to submit.
        :param fingerprint: digest of the request, the connection id and the base URL.
        :param try_number: of this try, from 1.
        :param max_tries: Airflow's current ``max_tries``, which differs from the recorded one after a clear.
        :param api_key: of the connection; only a digest of it is stored.
        :raises EvoLinkError: nothing may be sent, or its media could not be uploaded, or EvoLink rejected it, or its
            response was lost.
        """
        match self._decide(known, fingerprint, max_tries, api_key):
            case Refuse(error):
                raise error
            case Attach(record, generation) | Finish(record, generation):
                return self._resume(record, generation, max_tries)
            case Replay(record):
                return SubmissionResult(self._submit(request, replace(record, max_tries=max_tries)))
            case Submit() as submit:
                with self.admit(request):
                    links = dict(self.upload(request))
                    self._warn_about_new_charge(known, submit, try_number)
                    intent = new_intent(submit, request.model, fingerprint, api_key, now=time.time())
                    intent = replace(intent, try_number=try_number, max_tries=max_tries, media_links=links or None)
                    return SubmissionResult(self._submit(request, intent, replaced=known))

    def _warn_about_new_charge(self, known: LedgerRecord | None, submit: Submit, try_number: int) -> None:
        """Warn whenever a later try pays for a new generation."""
        if submit.previous_ids:
            self.log.warning(
                "Submitting a new generation. Earlier submissions of this task: %s", ", ".join(submit.previous_ids)
            )
        elif known is None and try_number > 1:
            self.log.warning(
                "This is try %d, but the ledger holds no record of the earlier tries: none of them submitted anything, "
                "or their record was deleted. Paying for a new generation.",
                try_number,
            )

    def resume_without_input(self, known: LedgerRecord | None, error: Exception, *, max_tries: int) -> SubmissionResult:
        """Resume what is paid for although its input can no longer be read, and so can't be compared.

        :param known: what the ledger holds.
        :param error: why the input can't be read; raised if there is nothing to resume.
        :param max_tries: Airflow's current ``max_tries``.
        """
        if known is None:
            raise error
        is_permanent = isinstance(error, InvalidInputError)
        why = refusal_text(error)
        match self._decide(known, known.fingerprint, max_tries):
            case Attach(record, generation) | Finish(record, generation):
                self.log.warning("%s Resuming what was submitted without comparing the input.", why)
                return self._resume(record, generation, max_tries)
            case Replay(record):
                raise input_unreadable(record, error)
            case Refuse(SubmissionAbandonedError() | GenerationLostError() as refusal) if is_permanent:
                self.log.warning("%s", why)
                raise refusal
            case _:
                raise error

    def _decide(
        self, known: LedgerRecord | None, fingerprint: str, max_tries: int, api_key: str | None = None
    ) -> Decision:
        remote, known = RemoteReader(self.ledger, self.read, self.log).refresh(known, max_tries)
        # Only a clear changes Airflow's ``max_tries``: it raises it, or lowers it if ``retries`` were lowered before.
        cleared = known is not None and known.max_tries is not None and max_tries != known.max_tries
        digest = None if known is None or api_key is None else digest_api_key(known.idempotency_key, api_key)
        return decide(known, fingerprint, remote, self.policy, cleared=cleared, now=time.time(), api_key_digest=digest)

    def _resume(self, record: LedgerRecord, generation: Generation | None, max_tries: int) -> SubmissionResult:
        """Resume what is there. A clear counts once: it is recorded here, so that no later retry is taken for one."""
        noted = replace(record, max_tries=max_tries)
        self._try_to_record(noted, record)
        self._announce(noted, "resuming; nothing is submitted")
        return SubmissionResult(noted, generation)

    def _submit(
        self, request: GenerationRequest, intent: LedgerRecord, replaced: LedgerRecord | None = None
    ) -> LedgerRecord:
        request, used = ready_to_send(request, intent), AttemptBudget()
        while True:
            # Each send has a write of its own, which stops a try that has been superseded.
            sent = self._record_send(intent)
            try:
                submission = self._post(request, sent)
            except EvoLinkError as error:
                match after_failure(intent, error, self.policy, used=used, killed=self.is_killed()):
                    case SendAgain(pause, used):
                        self.log.warning("%s", error)
                        intent = after_failed_send(intent, sent, error)
                        self._pause(pause)
                    case Withdraw():
                        self._withdraw(sent, replaced)
                        raise
                    case LeaveOpen(unknown):
                        self._try_to_record(after_failed_send(intent, sent, error), sent)
                        raise unknown from error
            else:
                return self._accepted(intent, sent, submission)

    def _record_send(self, intent: LedgerRecord) -> LedgerRecord:
        try:
            return self.ledger.write(about_to_send(intent, now=time.time()))
        except LedgerError as error:
            cost = "Nothing was charged by this try."
            if intent.in_doubt_since is not None:
                cost = f"An earlier send may have been accepted and charged (idempotency key {intent.idempotency_key})."
            raise LedgerError(f"{error} {cost}") from error

    def _pause(self, seconds: float) -> None:
        """Wait in short steps, so that a kill is noticed at once."""
        for step in pause_steps(seconds):
            if self.is_killed():
                break
            self.sleep(step)

    def _post(self, request: GenerationRequest, intent: LedgerRecord) -> Submission:
        if self.is_killed():
            raise killed_before_sending()
        if intent.send_count > 1:
            self.log.warning("Sending the submission again with the same idempotency key %s.", intent.idempotency_key)
        return self.send(request, intent.idempotency_key)

    def _accepted(self, intent: LedgerRecord, sent: LedgerRecord, submission: Submission) -> LedgerRecord:
        record = accepted(intent, sent, submission)
        self._record_id(record)
        self._announce(record, "submitted")
        if record.replay == "unconfirmed":
            self.log.error("%s", unconfirmed_replay(record))
        return record

    def _try_to_record(self, known: LedgerRecord, sent: LedgerRecord) -> None:
        """Record what is known; if that fails, the ledger merely holds less than it could."""
        if known == sent:
            return
        try:
            self.ledger.write(known)
        except LedgerError as error:
            self.log.warning("%s", error)

    def _record_id(self, record: LedgerRecord) -> None:
        """Record the id, the only handle on what was paid for; carry on without the ledger if it stays unavailable."""
        for remaining in reversed(range(ID_WRITES)):
            try:
                self.ledger.write(record)
                return
            except LedgerError as error:
                self.log.error("Generation %s is paid for, but: %s", record.generation_id, error)
                if remaining:
                    self.sleep(PAUSE_SECONDS)

    def _withdraw(self, intent: LedgerRecord, replaced: LedgerRecord | None) -> None:
        """Withdraw the intent, and restore the record that it was going to replace."""
        try:
            self.ledger.write(replaced or replace(intent, phase=Phase.WITHDRAWN))
        except LedgerError as error:
            self.log.warning(
                "The intent could not be withdrawn from the ledger, although nothing was charged: %s", error
            )

    def _announce(self, record: LedgerRecord, event: str) -> None:
        if record.generation_id is None:
            return
        price = "" if record.credits_reserved is None else f", {record.credits_reserved:g} credits reserved"
        self.log.info("Generation %s: %s (%s%s).", record.generation_id, event, record.model, price)
        self.on_submitted(record)
