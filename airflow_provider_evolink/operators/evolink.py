# SPDX-License-Identifier: Apache-2.0
"""Submitting paid generations, once, and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    GenerationNotFoundError,
    InvalidInputError,
    UnreadableInputError,
)
from airflow_provider_evolink.api.generation import Generation, is_generation_id
from airflow_provider_evolink.compat import forward_kills, task_state_store
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.base import GENERATION_ID_KEY, EvoLinkBaseOperator, PendingGeneration
from airflow_provider_evolink.operators.reports import invalid_after_payment
from airflow_provider_evolink.operators.task_state import ledger_name, open_ledger, with_ledger_asset
from airflow_provider_evolink.polling.confirmed_read import Refused
from airflow_provider_evolink.result import Origin, build_record, left_running, links_expired
from airflow_provider_evolink.submission.decision import Policy, as_failed
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerError, LedgerRecord, Phase, fingerprint
from airflow_provider_evolink.submission.submitter import SubmissionResult, Submitter

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.api.request import GenerationRequest

_POLICIES: Mapping[str, tuple[str, ...]] = {
    "on_unknown_submission": ("replay", "fail"),
    "on_clear": ("reuse", "resubmit"),
    "on_changed_input": ("fail", "resubmit"),
}


class EvoLinkGenerateOperator(EvoLinkBaseOperator):
    """
    Submit a generation of any EvoLink model, wait for it, and return its record. One task instance pays once.

    The submission is written to Airflow's task state store before and after it is sent, and to a copy that no clear
    empties, so a retry, a crash or a clear goes on with the generation that is paid for. A retry never submits again,
    unless EvoLink turned the submission down or failed to make the generation. Executed by hand inside another task, it
    waits on the worker, and each call pays for a generation of its own.

    :param model: EvoLink's model id. A model this package does not know passes with a warning.
    :param parameters: the model's parameters as EvoLink documents them, such as ``prompt`` and ``duration``.
    :param media_type: ``video``, ``image`` or ``audio``: which endpoint an unknown model belongs to.
    :param callback_url: public https URL, at most 2048 characters, that EvoLink posts the result to (documented).
        Airflow shows it among the rendered fields: let a token in it come from a connection,
        ``?token={{ conn.my_hook.password }}``, which is shown as ``***``.
    :param wait_for_completion: if false, return as soon as EvoLink has accepted the submission.
    :param on_unknown_submission: what a try does when an earlier submission's answer was lost. ``replay`` sends the
        same key and body again, which makes nothing new where EvoLink honours the key (undocumented; its own clients
        rely on it). ``fail`` never sends again.
    :param on_clear: what a clear of a finished task gives: ``reuse`` the same result, ``resubmit`` a new one. A task
        that does not wait is finished by its submission. With ``resubmit`` a clear also submits under a new key where
        an earlier answer was lost and its key may not be sent again, and where nothing can be collected: the generation
        is gone, completed without a result, or has not ended when its links would be dead.
    :param on_changed_input: what a try does when the request differs from the one already submitted: ``fail`` with
        the facts, or ``resubmit`` and pay for the new one.
    :return: ``{generation_id, model, status, results[], result_data, expires_at, submitted_at, finished_at,
        usage{credits_reserved, credits_used, billing_rule}, reattached, try_number}``. The id is also pushed as
        ``generation_id`` before the waiting begins.
    :raises EvoLinkFailException: bad input, a refused submission, or a failure that a new try can't mend.
    :raises GenerationFailedError: EvoLink could not make it; a retry submits a new one.
    :raises GenerationTimeoutError: it was not finished in time; a retry goes on with it.
    """

    template_fields: Sequence[str] = ("model", "parameters", "callback_url", "evolink_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        model: str | XComArg,
        parameters: Mapping[str, Any] | XComArg,
        media_type: Literal["video", "image", "audio"] | None = None,
        callback_url: str | XComArg | None = None,
        wait_for_completion: bool = True,
        on_unknown_submission: Literal["replay", "fail"] = "replay",
        on_clear: Literal["reuse", "resubmit"] = "reuse",
        on_changed_input: Literal["fail", "resubmit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "inlets": with_ledger_asset(kwargs.get("inlets"))})
        self.model: Any = model
        self.parameters = parameters
        self.media_type = media_type
        self.callback_url: Any = callback_url
        self.wait_for_completion = wait_for_completion
        self.on_unknown_submission = on_unknown_submission
        self.on_clear = on_clear
        self.on_changed_input = on_changed_input
        self._was_killed = False
        self._paid: LedgerRecord | None = None
        self._ledger_name = STORE_KEY

    @classmethod
    def partial(cls, *, inlets: Any = None, **kwargs: Any) -> Any:
        """Prepare a mapped task; it gets the asset that keeps the ledger's copies, too."""
        return super().partial(inlets=with_ledger_asset(inlets), **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Bring the task to a generation, paying at most once, and wait for it."""
        self._ledger_name = ledger_name(self, context)
        with airflow_errors(), forward_kills(self, context):
            submitted = self._submit_or_resume(context, self._read_ledger(context))
            record, generation = submitted.record, submitted.generation
            if record.phase is Phase.FINISHED and record.result is not None:
                return self._reuse_result(context, record.result)
            pending = _pending_from(record, context)
            if generation is not None and generation.is_terminal:
                return self._complete(context, pending, generation)
            if self.wait_for_completion:
                return self._wait(context, pending)
            self._record_early_finish(context, record)
            latest = generation or Generation(id=pending.generation_id, status="pending")
            return build_record(latest, pending.origin, now=time.time())

    def on_kill(self) -> None:
        """Prevent a submission that has not been sent; what has been sent goes on, since EvoLink can't cancel it."""
        self._was_killed = True
        if self._paid is None or self._paid.generation_id is None:
            self.log.warning(
                "Told to stop. What has not been submitted yet will not be. What is being submitted just now may be "
                "paid for; a retry or a clear of this task finds out and goes on with it."
            )
        else:
            left = left_running(self._paid.generation_id, self.evolink_conn_id, cost=self._paid.credits_reserved)
            self.log.warning("Told to stop. %s", left)

    def _parameters(self) -> Mapping[str, Any]:
        """The parameters as EvoLink takes them."""
        from airflow_provider_evolink.operators.parameters import as_parameters

        return as_parameters(self.parameters)

    def _read_ledger(self, context: Context) -> LedgerRecord | None:
        return None if task_state_store(context) is None else self._ledger(context).read()

    def _submit_or_resume(self, context: Context, known: LedgerRecord | None) -> SubmissionResult:
        """Bring the task to a generation: its own, or a new one."""
        ti = context["ti"]
        try:
            request = self._request()
            self._check_arguments()
        except (UnreadableInputError, ConnectionError, TimeoutError) as error:
            return self._submitter(context).resume_without_input(known, error, max_tries=ti.max_tries)
        except InvalidInputError as error:
            raise invalid_after_payment(error, known, conn_id=self.evolink_conn_id) from None
        for warning in request.warnings:
            self.log.warning("%s", warning)
        return self._submitter(context).submit_or_resume(
            known,
            request,
            self._fingerprint(request),
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            api_key=self._hook.settings.api_key,
        )

    def _request(self) -> GenerationRequest:
        given = dict(self._parameters())
        if self.callback_url is not None:
            given["callback_url"] = self.callback_url
        return self._hook.prepare(self.model, given, media_type=self.media_type)

    @property
    def _hook(self) -> EvoLinkHook:
        return EvoLinkHook(self.evolink_conn_id)

    def _check_arguments(self) -> None:
        """What would only fail after the money is spent must fail before."""
        for name, allowed in _POLICIES.items():
            if getattr(self, name) not in allowed:
                raise InvalidInputError(name, getattr(self, name), " or ".join(map(repr, allowed)))
        probe = PendingGeneration("task-unified-0", Origin(submitted_at=time.time()))
        self._watch(probe)
        if self.wait_for_completion and self.deferrable:
            self._trigger(probe).serialize()

    def _fingerprint(self, request: GenerationRequest) -> str:
        return fingerprint(self.evolink_conn_id, self._hook.settings.base_url, request.endpoint, request.body)

    def _submitter(self, context: Context) -> Submitter:
        return Submitter(
            ledger=self._ledger(context),
            send=self._hook.submit,
            read=self._hook.get_generation,
            policy=Policy(self.on_unknown_submission, self.on_clear, self.on_changed_input),
            log=self.log,
            on_submitted=lambda record: self._on_submitted(context, record),
            is_killed=lambda: self._was_killed,
        )

    def _on_submitted(self, context: Context, record: LedgerRecord) -> None:
        self._paid = record
        if self._was_killed:
            # It was being submitted when the task was told to stop.
            self.on_kill()
        context["ti"].xcom_push(key=GENERATION_ID_KEY, value=record.generation_id)

    def _ledger(self, context: Context) -> Ledger:
        return open_ledger(context, self._ledger_name, self.log)

    def _record_early_finish(self, context: Context, record: LedgerRecord) -> None:
        """Note that the task succeeds without waiting: a clear is one of a finished task then."""
        finished_without_waiting = replace(record, finished_without_waiting=True, max_tries=context["ti"].max_tries)
        self._try_to_record(
            context, finished_without_waiting, 'A clear with on_clear="resubmit" will go on with this generation.'
        )

    def _record_refusal(self, context: Context, refused: Refused) -> None:
        """What was missing for minutes is gone for the next try: a clear that may buy again need not wait for it."""
        if isinstance(refused.error, GenerationNotFoundError):
            missing = replace(self._submitted_record(context, None), missing_since=time.time() - refused.seconds)
            self._try_to_record(context, missing, "The next try looks for it again.")

    def _try_to_record(self, context: Context, record: LedgerRecord, consequence: str) -> None:
        try:
            self._ledger(context).write(record)
        except LedgerError as error:
            self.log.warning("%s %s", error, consequence)

    def _submitted_record(self, context: Context, generation_id: str | None) -> LedgerRecord:
        """The record of a generation that is there; what the ledger failed to note of it is added."""
        record = self._ledger(context).read()
        if record is None or record.generation_id is None:
            if not is_generation_id(generation_id):
                raise LedgerError("The ledger lacks the generation that was waited for; its id is in this task's log.")
            # The ledger could not be written when it was submitted, or was emptied since.
            intent = record or LedgerRecord(Phase.INTENT, "lost", "lost", 1, str(self.model), time.time())
            record = replace(intent, phase=Phase.SUBMITTED, generation_id=generation_id, submitted_at=intent.intent_at)
        self._paid = record
        return record

    def _pending(self, context: Context, event: Mapping[str, Any] | None) -> PendingGeneration:
        event_id = event.get("generation_id") if isinstance(event, Mapping) else None
        return _pending_from(self._submitted_record(context, event_id), context)

    def _record_end(
        self, context: Context, waited: PendingGeneration, seen: Generation, record: dict[str, Any] | None
    ) -> None:
        known = replace(self._submitted_record(context, waited.generation_id), max_tries=context["ti"].max_tries)
        ended = as_failed(known, seen) if record is None else replace(known, phase=Phase.FINISHED, result=record)
        self._ledger(context).write(ended)

    def _reuse_result(self, context: Context, result: Mapping[str, Any]) -> dict[str, Any]:
        self.log.info("This result was paid for before and is handed on again.")
        if links_expired(result, now=time.time()):
            self.log.warning(
                "Its links have died at %s. What landed before is kept; to make it anew, clear this task with "
                'on_clear="resubmit", which pays again.',
                result["expires_at"],
            )
        record = {**result, "reattached": True, "try_number": context["ti"].try_number}
        self._publish_result(context, record)
        return record


def _pending_from(record: LedgerRecord, context: Context) -> PendingGeneration:
    if record.generation_id is None or record.submitted_at is None:
        raise ConfigurationError("The task's ledger says neither which generation was submitted nor when.")
    origin = Origin(
        submitted_at=record.submitted_at,
        model=record.model,
        credits_reserved=record.credits_reserved,
        billing_rule=record.billing_rule,
        replay=record.replay,
        reattached=context["ti"].try_number > record.try_number,
        try_number=context["ti"].try_number,
    )
    return PendingGeneration(record.generation_id, origin, record.estimated_time)


class EvoLinkImageToVideoOperator(EvoLinkGenerateOperator):
    """
    Make a video with sound from a picture and a prompt, and return its record. One task instance pays once.

    The operator for Gemini Omni Flash image-to-video; limits and defaults are those of EvoLink's documents. Apart from
    the arguments below it is :class:`EvoLinkGenerateOperator`.

    :param prompt: what happens in the video, in English or Chinese. There is no negative prompt: write "no dialogue"
        into it.
    :param image: the picture (png, jpeg or webp): an http(s) URL that EvoLink can reach, a data URL, bare base64, a
        local path or any ObjectStoragePath. All but a URL are read on the worker and sent along, to models that take
        that; for the others upload it first with ``EvoLinkHook.upload``.
    :param duration: whole seconds from 3 to 10, or ``auto``.
    :param aspect_ratio: ``16:9``, ``9:16`` or ``auto``.
    :param model: EvoLink's model id.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "image",
        "duration",
        "aspect_ratio",
        "model",
        "callback_url",
        "evolink_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        *,
        prompt: str | XComArg,
        image: str | ObjectStoragePath | XComArg,
        duration: int | str | XComArg = 10,
        aspect_ratio: str | XComArg = "16:9",
        model: str | XComArg = "gemini-omni-flash-image-to-video",
        **kwargs: Any,
    ) -> None:
        super().__init__(model=model, parameters={}, **kwargs)
        self.prompt = prompt
        self.image = image
        self.duration = duration
        self.aspect_ratio = aspect_ratio

    def _parameters(self) -> Mapping[str, Any]:
        from airflow_provider_evolink.operators.parameters import picture_parameters

        return {
            "prompt": self.prompt,
            **picture_parameters(self.model, self.image, allow_loopback=self._hook.is_loopback),
            "duration": self.duration,
            "aspect_ratio": self.aspect_ratio,
        }
