# SPDX-License-Identifier: Apache-2.0
"""The call of ``EvoLinkHook.generate``: what ``EvoLinkGenerateOperator`` does, under a key of the calling task."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.errors import GenerationNotFoundError
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.execution import task_ledger
from airflow_provider_evolink.execution.calling_task import (
    CallingTask,
    has_used,
    ledger_access,
    ledger_name,
    note_use,
    only_call,
    refuse_while_parsing,
)
from airflow_provider_evolink.execution.credits_check import CountedSubmission
from airflow_provider_evolink.execution.generation_call import Connected, GenerationCall
from airflow_provider_evolink.execution.ledger_progress import LedgerProgress
from airflow_provider_evolink.execution.pending import KeepWaiting, PendingGeneration
from airflow_provider_evolink.execution.policies import check_policies, check_upload
from airflow_provider_evolink.execution.reports import key_used_again
from airflow_provider_evolink.execution.submission_step import SubmissionStep
from airflow_provider_evolink.execution.task_state import open_ledger
from airflow_provider_evolink.polling.confirmed_read import Refused
from airflow_provider_evolink.result import Origin
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.submitter import SubmissionResult, Submitter

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.media.resolver import UploadPolicy
    from airflow_provider_evolink.polling.policy import StopPolling
    from airflow_provider_evolink.submission.ledger import Ledger
    from airflow_provider_evolink.types import GenerationRecord

_NOT_REMEMBERED = (
    "EvoLinkHook.generate was called outside of a task, so nothing remembers what it pays for: if this process dies, "
    "only the id in this log leads to the generation (EvoLinkHook.wait collects it), and a call that is repeated pays "
    "again."
)


class GenerateOptions(TypedDict, total=False):
    """The optional arguments of ``EvoLinkHook.generate``, which mean what they mean for ``EvoLinkGenerateOperator``."""

    poll_interval: float | None
    media_type: Literal["video", "image", "audio"] | None
    upload: UploadPolicy
    on_unknown_submission: Literal["replay", "fail"]
    on_clear: Literal["reuse", "resubmit"]
    on_changed_input: Literal["fail", "resubmit"]
    min_credits_left: float | None


class PayingCall(GenerationCall):
    """Submit a generation, or resume the one that an earlier try of the task has submitted under the same key.

    The parameters are those of ``EvoLinkHook.generate``.
    """

    def __init__(
        self,
        connected: Connected,
        task: CallingTask,
        model: str,
        parameters: Mapping[str, Any],
        *,
        key: str,
        timeout: float | timedelta | None,
        poll_interval: float | None = None,
        media_type: Literal["video", "image", "audio"] | None = None,
        upload: UploadPolicy = "auto",
        on_unknown_submission: Literal["replay", "fail"] = "replay",
        on_clear: Literal["reuse", "resubmit"] = "reuse",
        on_changed_input: Literal["fail", "resubmit"] = "fail",
        min_credits_left: float | None = None,
    ) -> None:
        super().__init__(connected, task, timeout=timeout, poll_interval=poll_interval)
        self._model = model
        self._parameters = parameters
        self._key = key
        self._ledger_name = ledger_name(key)
        self._media_type = media_type
        self._upload = upload
        self._min_credits_left = min_credits_left
        self._progress = LedgerProgress()
        self._policy = Policy(on_unknown_submission, on_clear, on_changed_input)

    def _known(self) -> ErrorFacts:
        return self._progress.facts.or_else(super()._known()).or_else(ErrorFacts(model=self._model))

    @contextmanager
    def _running(self) -> Iterator[None]:
        with super()._running(), only_call(self._task, self._key):
            if not self._task.is_task:
                refuse_while_parsing()
                self.log.warning(_NOT_REMEMBERED)
            yield

    def _start(self) -> GenerationRecord | KeepWaiting:
        with ledger_access(self._task, self._key):
            return self._submit_and_read()

    def _finalize(
        self, context: Context, pending: PendingGeneration, stop: StopPolling, failing_since: float | None
    ) -> GenerationRecord | KeepWaiting:
        with ledger_access(self._task, self._key):
            return super()._finalize(context, pending, stop, failing_since)

    def _submit_and_read(self) -> GenerationRecord | KeepWaiting:
        ti = self._context["ti"]
        submitted = self._submit_or_resume(self._ledger.read())
        note_use(self._task, self._key)
        record, generation = submitted.record, submitted.generation
        if record.phase is Phase.FINISHED and record.result is not None:
            return task_ledger.reused_result(record.result, ti.try_number, self.log, lands=False)
        pending = task_ledger.pending_generation(record, ti.try_number)
        if generation is not None and generation.is_terminal:
            return self._complete(self._context, pending, generation)
        return KeepWaiting(pending)

    def _submit_or_resume(self, known: LedgerRecord | None) -> SubmissionResult:
        ti = self._context["ti"]
        is_repeated = known is not None and (known.try_number == ti.try_number or has_used(self._task, self._key))
        # What has changed since an earlier call is no changed input: the next try would pay for each call again.
        policy = replace(self._policy, on_changed_input="fail") if is_repeated else self._policy
        step = SubmissionStep(
            account=self._account,
            make_request=self._checked_request,
            make_submitter=lambda _: self._submitter(policy),
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            log=self.log,
        )
        if is_repeated:
            report = functools.partial(key_used_again, key=self._key)
            step = replace(step, paid_by="an earlier call with this key", report_changed=report)
        return step.run(known)

    @property
    def _ledger(self) -> Ledger:
        return open_ledger(self._context, self._ledger_name, self.log, self._progress.note)

    def _checked_request(self) -> GenerationRequest:
        """Build the request, and check everything that would otherwise fail after the payment."""
        check_upload(self._upload)
        request = self._account.prepare(self._model, self._parameters, media_type=self._media_type, upload=self._upload)
        check_policies(self._policy)
        self._watch(PendingGeneration("task-unified-0", Origin(submitted_at=time.time())))
        return request

    def _submitter(self, policy: Policy) -> Submitter:
        counted = CountedSubmission(self._account, self._min_credits_left)
        return Submitter(
            ledger=self._ledger,
            send=counted.send,
            upload=self._account.media_links,
            read=self._account.get_generation,
            policy=policy,
            log=self.log,
            on_submitted=self._on_submitted,
            is_killed=lambda: self._was_killed,
            admit=counted.admitted,
        )

    def _on_submitted(self, record: LedgerRecord) -> None:
        self._paid = record
        self._progress.note(record)
        if self._was_killed:
            # The kill came while the request was being sent: report the generation that it has paid for.
            self.on_kill()

    def _submitted_record(self, pending: PendingGeneration) -> LedgerRecord:
        return task_ledger.read_submitted(self._ledger, pending.generation_id, model=pending.origin.model or "")

    def _record_end(
        self, context: Context, pending: PendingGeneration, generation: Generation, record: GenerationRecord | None
    ) -> None:
        known, max_tries = self._submitted_record(pending), context["ti"].max_tries
        self._paid = task_ledger.record_end(self._ledger, known, generation, record, max_tries=max_tries)

    def _record_refusal(self, context: Context, refused: Refused) -> None:  # noqa: ARG002
        if isinstance(refused.error, GenerationNotFoundError) and self._paid is not None:
            since = time.time() - refused.seconds
            task_ledger.record_missing(self._ledger, self._paid, since=since, log=self.log)
