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
from airflow_provider_evolink.api.pacing import NOT_FOUND_GRACE
from airflow_provider_evolink.decision import (
    CONFLICT,
    Attach,
    Decision,
    Finish,
    Gone,
    Policy,
    Refuse,
    Replay,
    Said,
    Submit,
    as_said,
    decide,
)
from airflow_provider_evolink.ledger import Ledger, LedgerError, Phase, Record, account_digest, new_key
from airflow_provider_evolink.patience import AGREEING_SECONDS
from airflow_provider_evolink.sending import (
    PAUSE_SECONDS,
    LeaveOpen,
    SendAgain,
    Spent,
    Withdraw,
    about_to_send,
    accepted,
    after_failure,
    came_to_nothing,
)

if TYPE_CHECKING:
    from airflow_provider_evolink.api.generation import Generation, Submission
    from airflow_provider_evolink.api.request import Request

_ID_WRITES = 3
_STEP_SECONDS = 0.2

Send = Callable[["Request", str], "Submission"]


@dataclass(frozen=True, slots=True)
class Brought:
    """
    What a task instance has been brought to.

    :param record: in phase ``submitted`` or ``finished``.
    :param seen: what EvoLink said of the generation a moment ago, if it was asked and answered.
    """

    record: Record
    seen: Generation | None = None


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
    ask: Callable[[str], Generation]
    policy: Policy
    log: Any
    announce: Callable[[Record], None]
    is_killed: Callable[[], bool]
    sleep: Callable[[float], None] = field(default=time.sleep)

    def settle(
        self,
        known: Record | None,
        request: Request,
        fingerprint: str,
        *,
        try_number: int,
        max_tries: int,
        api_key: str = "",
    ) -> Brought:
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
                return self._gone_on(record, seen, max_tries)
            case Replay(record):
                return Brought(self._submit(request, replace(record, max_tries=max_tries)))
            case Submit() as submit:
                self._warn_of_a_new_charge(known, submit, try_number)
                intent = _intent(submit, request, fingerprint, api_key)
                intent = replace(intent, try_number=try_number, max_tries=max_tries)
                return Brought(self._submit(request, intent, replaced=known))

    def _warn_of_a_new_charge(self, known: Record | None, submit: Submit, try_number: int) -> None:
        """No later try pays for a new generation in silence."""
        if submit.earlier:
            self.log.warning("Submitting anew; submitted before: %s", ", ".join(submit.earlier))
        elif known is None and try_number > 1:
            self.log.warning(
                "This is try %d, and the ledger holds nothing of the earlier ones: none of them came to a submission, "
                "or their record was deleted. A new generation is paid for.",
                try_number,
            )

    def go_on(self, known: Record | None, error: Exception, *, max_tries: int) -> Brought:
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
                return self._gone_on(record, seen, max_tries)
            case Replay(record):
                doubt = (
                    f"{why} Nothing was sent now, but an earlier try sent it under the key {record.key} and its answer "
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

    def _decide(self, known: Record | None, fingerprint: str, max_tries: int, api_key: str | None = None) -> Decision:
        said, known = self._asked(known, max_tries)
        # Only a clear changes Airflow's figure: to more, or to less where the DAG's ``retries`` were lowered before.
        cleared = known is not None and known.max_tries is not None and max_tries != known.max_tries
        account = None if known is None or api_key is None else account_digest(known.key, api_key)
        return decide(known, fingerprint, said, self.policy, cleared=cleared, now=time.time(), account=account)

    def _gone_on(self, record: Record, seen: Generation | None, max_tries: int) -> Brought:
        """Go on with what is there. A clear counts once: no retry after it is to be taken for it."""
        noted = replace(record, max_tries=max_tries)
        self._leave(noted, record)
        self._announce(noted, "going on with it; nothing is submitted")
        return Brought(noted, seen)

    def _asked(self, known: Record | None, max_tries: int) -> tuple[Said, Record | None]:
        """Ask for a generation that an earlier try has left; what has become of it is worth a free read."""
        if known is None or known.phase is not Phase.SUBMITTED or known.generation_id is None:
            return None, known
        try:
            seen = self.ask(known.generation_id)
        except GenerationNotFoundError as error:
            self.log.warning("%s", error)
            return self._not_found(known)
        except EvoLinkError as error:
            self.log.warning("%s", error)
            return None, known
        noted = as_said(replace(known, missing_since=None), seen)
        if noted.phase is not known.phase:
            self.log.warning(
                "Generation %s has ended as %s at EvoLink (%s).", seen.id, seen.status, noted.error_code or "no code"
            )
            if not known.handed_over:
                # Whoever cleared the task before this was known has not asked for another generation.
                noted = replace(noted, max_tries=max_tries)
        if noted != known:
            self.ledger.write(noted)
        return seen, noted

    def _not_found(self, known: Record) -> tuple[Said, Record]:
        """One answer that there is no such generation may be a slip; two, minutes apart, are not."""
        now = time.time()
        if now - (known.submitted_at or 0.0) < NOT_FOUND_GRACE:
            return None, known
        if known.missing_since is None:
            known = self.ledger.write(replace(known, missing_since=now))
        is_gone = known.missing_since is not None and now - known.missing_since >= AGREEING_SECONDS
        return (Gone() if is_gone else None), known

    def _submit(self, request: Request, intent: Record, replaced: Record | None = None) -> Record:
        spent = Spent()
        while True:
            # Each sending has its own write: a try whose place was taken gets no further.
            sent = self._note_sending(intent)
            try:
                submission = self._post(request, sent)
            except EvoLinkError as error:
                match after_failure(intent, error, self.policy, spent=spent, killed=self.is_killed()):
                    case SendAgain(pause, spent):
                        self.log.warning("%s", error)
                        intent = _after(intent, sent, error)
                        self._pause(pause)
                    case Withdraw():
                        self._withdraw(sent, replaced)
                        raise
                    case LeaveOpen(doubt):
                        self._leave(_after(intent, sent, error), sent)
                        raise doubt from error
            else:
                return self._accepted(intent, sent, submission)

    def _note_sending(self, intent: Record) -> Record:
        try:
            return self.ledger.write(about_to_send(intent, now=time.time()))
        except LedgerError as error:
            if intent.in_doubt_since is None:
                raise
            text = f"{error} An earlier sending may have been accepted and charged (key {intent.key})."
            raise LedgerError(text) from error

    def _pause(self, seconds: float) -> None:
        """Wait in short steps, so that a kill is noticed at once."""
        left = seconds
        while left > 0 and not self.is_killed():
            self.sleep(min(left, _STEP_SECONDS))
            left -= _STEP_SECONDS

    def _post(self, request: Request, intent: Record) -> Submission:
        if self.is_killed():
            raise NotSentError("The task was told to stop before the submission was sent; nothing was charged by it.")
        if intent.sendings > 1:
            self.log.warning("Sending the submission again under the same key %s.", intent.key)
        return self.send(request, intent.key)

    def _accepted(self, intent: Record, sent: Record, submission: Submission) -> Record:
        now = time.time() if sent.sent_at is None else sent.sent_at
        record = replace(accepted(intent, submission, now=now), sendings=sent.sendings, sent_at=sent.sent_at)
        self._remember(record)
        self._announce(record, "submitted")
        if record.replay == "unconfirmed":
            self.log.error(
                "EvoLink did not say that it knew the key %s: either the first sending never reached it, or it has "
                "made, and charges, two generations. Compare EvoLink's task list with %s.",
                record.key,
                record.generation_id,
            )
        return record

    def _leave(self, known: Record, sent: Record) -> None:
        """Note what is known; where it can't be noted, the record says less than it might."""
        if known == sent:
            return
        try:
            self.ledger.write(known)
        except LedgerError as error:
            self.log.warning("%s", error)

    def _remember(self, record: Record) -> None:
        """The id is the only handle on the money, so losing the ledger now must not lose it."""
        for left in reversed(range(_ID_WRITES)):
            try:
                self.ledger.write(record)
                return
            except LedgerError as error:
                self.log.error("Generation %s is paid for, but: %s", record.generation_id, error)
                if left:
                    self.sleep(PAUSE_SECONDS)

    def _withdraw(self, intent: Record, replaced: Record | None) -> None:
        """What was not taken replaces nothing: what was paid for before is the task's again."""
        try:
            self.ledger.write(replaced or replace(intent, phase=Phase.WITHDRAWN))
        except LedgerError as error:
            self.log.warning("The intent stays in the ledger, though nothing was charged: %s", error)

    def _announce(self, record: Record, what: str) -> None:
        if record.generation_id is None:
            return
        price = "" if record.credits_reserved is None else f", {record.credits_reserved:g} credits reserved"
        self.log.info("Generation %s: %s (%s%s).", record.generation_id, what, record.model, price)
        self.announce(record)


def _intent(submit: Submit, request: Request, fingerprint: str, api_key: str) -> Record:
    key = new_key()
    return Record(
        Phase.INTENT,
        fingerprint,
        key,
        submit.ordinal,
        request.model,
        time.time(),
        account=account_digest(key, api_key),
        earlier=submit.earlier,
    )


def _after(intent: Record, sent: Record, error: EvoLinkError) -> Record:
    """What is known after a sending has failed: it is in doubt only as far as that one, or an earlier one, is."""
    since = intent.in_doubt_since if came_to_nothing(error) else sent.in_doubt_since
    replay = CONFLICT if isinstance(error, IdempotencyConflictError) else sent.replay
    return replace(sent, in_doubt_since=since, replay=replay)
