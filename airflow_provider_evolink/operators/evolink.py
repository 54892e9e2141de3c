# SPDX-License-Identifier: Apache-2.0
"""Operators that submit a paid generation, once, and wait for it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_evolink.api.errors import (
    GenerationNotFoundError,
    InvalidInputError,
    LandingError,
    UnreadableInputError,
)
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.compat import forward_kills, task_state_store
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing import checkpoint
from airflow_provider_evolink.operators import task_ledger
from airflow_provider_evolink.operators.base import GENERATION_ID_KEY
from airflow_provider_evolink.operators.landing_operator import EvoLinkLandingOperator
from airflow_provider_evolink.operators.pending import PendingGeneration
from airflow_provider_evolink.operators.policies import check_policies
from airflow_provider_evolink.operators.reports import cannot_land_now, expired_links, invalid_after_payment, killed
from airflow_provider_evolink.operators.task_state import open_ledger, store_key_suffix, with_ledger_asset
from airflow_provider_evolink.polling.confirmed_read import Refused
from airflow_provider_evolink.result import Origin, build_record, links_expired
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerRecord, Phase, fingerprint
from airflow_provider_evolink.submission.submitter import SubmissionResult, Submitter

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.api.request import GenerationRequest


class EvoLinkGenerateOperator(EvoLinkLandingOperator):
    """Submit a generation of any EvoLink model, wait for it, and return its record. One task instance pays once.

    The submission is recorded in Airflow's task state store before and after it is sent, and in a copy that no clear
    empties, so that a retry, a crash or a clear resumes the generation that is paid for. A retry submits again only if
    EvoLink rejected the submission or failed to make the generation. An operator that is executed by hand inside
    another task waits on the worker, and each call pays for a generation of its own.

    With a ``destination`` the task also lands the results, with the asset events of ``EvoLinkToObjectStorageOperator``.
    If that fails, a retry or a clear lands what is missing, and pays for nothing.

    :param model: EvoLink's model id. A model that this package does not know passes with a warning.
    :param parameters: the model's parameters as EvoLink documents them, such as ``prompt`` and ``duration``.
    :param media_type: ``video``, ``image`` or ``audio``: the endpoint of a model that this package does not know.
    :param callback_url: public https URL, at most 2048 characters, that EvoLink posts the result to (documented).
        Airflow displays it among the rendered fields: take a token in it from a connection,
        ``?token={{ conn.my_hook.password }}``, which is displayed as ``***``.
    :param wait_for_completion: if false, return as soon as EvoLink has accepted the submission. Not with a
        ``destination``.
    :param on_unknown_submission: what a try does if the response to an earlier submission was lost. ``replay`` sends
        the same body with the same idempotency key again, which makes nothing new if EvoLink honors the key
        (undocumented; its own clients rely on it). ``fail`` never sends it again.
    :param on_clear: what a clear of a finished task returns: with ``reuse`` the same result, with ``resubmit`` a new
        one. A task that does not wait is finished once it has submitted, and one with a ``destination`` once it has
        landed, or can't any more as the links have expired. With ``resubmit`` a clear also submits under a new
        idempotency key if an earlier response was lost and its key must not be sent again, and if there is nothing to
        collect: the generation is gone, completed without a result, or has not ended by the time its links would have
        expired.
    :param on_changed_input: what a try does if the request differs from the one already submitted: ``fail`` with the
        facts, or ``resubmit`` and pay for the new one.
    :return: ``{generation_id, model, status, results[], result_data, expires_at, submitted_at, finished_at,
        usage{credits_reserved, credits_used, billing_rule}, reattached, try_number}``, and with a ``destination`` also
        ``landed[]``, which is what the transfer returns. The id is also pushed to XCom as ``generation_id`` before the
        wait begins.
    :raises EvoLinkFailException: invalid input, a rejected submission, or a failure that a retry can't fix.
    :raises GenerationFailedError: EvoLink could not make it; a retry submits a new one.
    :raises GenerationTimeoutError: it did not finish in time; a retry resumes it.
    :raises LandingError: a result could not be landed; a retry lands it and pays for nothing.

    How to wait and where to land: see the parameters of the base classes
    :class:`~airflow_provider_evolink.operators.base.EvoLinkBaseOperator` and
    :class:`~airflow_provider_evolink.operators.landing_operator.EvoLinkLandingOperator`.
    """

    template_fields: Sequence[str] = ("model", "parameters", "callback_url", *EvoLinkLandingOperator.template_fields)
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
        with airflow_errors():
            self._check_waiting(wait_for_completion)
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
        """Prepare a mapped task, which gets the asset that keeps the ledger's copies as well."""
        return super().partial(inlets=with_ledger_asset(inlets), **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the generation or resume it, paying at most once, and wait for it."""
        suffix = store_key_suffix(self, context)
        self._ledger_name, self._landing_store_key = f"{STORE_KEY}{suffix}", f"{checkpoint.STORE_KEY}{suffix}"
        with airflow_errors(), forward_kills(self, context):
            submitted = self._submit_or_resume(context, self._read_ledger(context))
            record, generation = submitted.record, submitted.generation
            if record.phase is Phase.FINISHED and record.result is not None:
                return self._reuse_result(context, record.result)
            pending = task_ledger.pending_generation(record, context["ti"].try_number)
            if generation is not None and generation.is_terminal:
                return self._complete(context, pending, generation)
            if self.wait_for_completion:
                return self._wait(context, pending)
            task_ledger.record_early_finish(self._ledger(context), record, self.log)
            latest = generation or Generation(id=pending.generation_id, status="pending")
            return build_record(latest, pending.origin, now=time.time())

    def on_kill(self) -> None:
        """Prevent a submission that has not been sent; one that was sent keeps running, as EvoLink can't cancel it."""
        self._was_killed = True
        self.log.warning("%s", killed(self._paid, self.evolink_conn_id))

    def _parameters(self, hook: EvoLinkHook) -> Mapping[str, Any]:  # noqa: ARG002 - a subclass needs it
        """Return the model's parameters."""
        from airflow_provider_evolink.operators.parameters import as_parameters

        return as_parameters(self.parameters)

    def _read_ledger(self, context: Context) -> LedgerRecord | None:
        return None if task_state_store(context) is None else self._ledger(context).read()

    def _submit_or_resume(self, context: Context, known: LedgerRecord | None) -> SubmissionResult:
        """Submit a generation, or resume the one that the ledger holds."""
        # One hook, hence one look-up: the account that is checked is the one that is recorded and pays.
        hook = EvoLinkHook(self.evolink_conn_id)
        ti = context["ti"]
        try:
            request = self._request(hook)
        except (UnreadableInputError, ConnectionError, TimeoutError) as error:
            return self._submitter(context, hook, known).resume_without_input(known, error, max_tries=ti.max_tries)
        except InvalidInputError as error:
            raise invalid_after_payment(error, known, conn_id=self.evolink_conn_id) from None
        except LandingError as error:
            raise cannot_land_now(error, known, conn_id=self.evolink_conn_id) from error
        for warning in request.warnings:
            self.log.warning("%s", warning)
        settings = hook.settings
        digest = fingerprint(self.evolink_conn_id, settings.base_url, request.endpoint, request.body)
        resumable = known if known is not None and known.fingerprint == digest else None
        return self._submitter(context, hook, resumable).submit_or_resume(
            known, request, digest, try_number=ti.try_number, max_tries=ti.max_tries, api_key=settings.api_key
        )

    def _request(self, hook: EvoLinkHook) -> GenerationRequest:
        from airflow_provider_evolink.operators.parameters import results_requested

        parameters = dict(self._parameters(hook))
        if self.callback_url is not None:
            parameters["callback_url"] = self.callback_url
        request = hook.prepare(self.model, parameters, media_type=self.media_type)
        self._check_arguments()
        if self.destination is not None:
            self._landing_step(hook).check(request.model, results_requested(parameters))
        return request

    def _check_arguments(self) -> None:
        """Check, before the payment, everything that would otherwise fail after it."""
        check_policies(self)
        probe = PendingGeneration("task-unified-0", Origin(submitted_at=time.time()))
        self._watch(probe)
        if self.wait_for_completion and self.deferrable:
            self._trigger(probe).serialize()

    def _submitter(self, context: Context, hook: EvoLinkHook, resumable: LedgerRecord | None) -> Submitter:
        # Only a clear of a finished task may pay again, and a result that can still be landed is not finished.
        on_clear = "reuse" if self._awaits_landing(resumable) else self.on_clear
        return Submitter(
            ledger=self._ledger(context),
            send=hook.submit,
            read=hook.get_generation,
            policy=Policy(self.on_unknown_submission, on_clear, self.on_changed_input),
            log=self.log,
            on_submitted=lambda record: self._on_submitted(context, record),
            is_killed=lambda: self._was_killed,
        )

    def _on_submitted(self, context: Context, record: LedgerRecord) -> None:
        self._paid = record
        if self._was_killed:
            # The kill came while the request was being sent: report the generation that it has paid for.
            self.on_kill()
        context["ti"].xcom_push(key=GENERATION_ID_KEY, value=record.generation_id)

    def _ledger(self, context: Context) -> Ledger:
        return open_ledger(context, self._ledger_name, self.log)

    def _submitted_record(self, context: Context, generation_id: object = None) -> LedgerRecord:
        self._paid = task_ledger.read_submitted(self._ledger(context), generation_id, model=str(self.model))
        return self._paid

    def _pending(self, context: Context, event: Mapping[str, Any] | None) -> PendingGeneration:
        generation_id = event.get("generation_id") if isinstance(event, Mapping) else None
        record = self._submitted_record(context, generation_id)
        return task_ledger.pending_generation(record, context["ti"].try_number)

    def _record_end(
        self, context: Context, pending: PendingGeneration, generation: Generation, record: dict[str, Any] | None
    ) -> None:
        known = self._submitted_record(context, pending.generation_id)
        ledger, max_tries = self._ledger(context), context["ti"].max_tries
        self._paid = task_ledger.record_end(ledger, known, generation, record, max_tries=max_tries)

    def _record_landing(self, context: Context, record: dict[str, Any]) -> None:
        if self.on_clear == "resubmit" and self._paid is not None:
            task_ledger.record_landing(self._ledger(context), self._paid, record, self.log)

    def _record_refusal(self, context: Context, refused: Refused) -> None:
        if isinstance(refused.error, GenerationNotFoundError):
            record = self._submitted_record(context)
            task_ledger.record_missing(self._ledger(context), record, since=time.time() - refused.seconds, log=self.log)

    def _reuse_result(self, context: Context, result: Mapping[str, Any]) -> dict[str, Any]:
        self.log.info("Reusing the result of an earlier, already paid submission.")
        if links_expired(result, now=time.time()):
            self.log.warning("%s", expired_links(result["expires_at"], lands=self.destination is not None))
        record = {**result, "reattached": True, "try_number": context["ti"].try_number}
        self._publish_result(context, record)
        return self._land(context, record)


class EvoLinkImageToVideoOperator(EvoLinkGenerateOperator):
    """Make a video with sound from an image and a prompt, and return its record. One task instance pays once.

    By default with Gemini Omni Flash image-to-video; limits and defaults are those that EvoLink documents. All other
    arguments are those of :class:`EvoLinkGenerateOperator`.

    :param prompt: what happens in the video, in English or Chinese. There is no negative prompt: write "no dialogue"
        into it.
    :param image: the image (png, jpeg or webp): an http(s) URL that EvoLink can reach, a data URL, bare base64, a local
        path or any ObjectStoragePath. All but a URL are read on the worker and sent in the request, which not every
        model accepts; for the others upload it first with ``EvoLinkHook.upload``.
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
        *EvoLinkLandingOperator.template_fields,
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

    def _parameters(self, hook: EvoLinkHook) -> Mapping[str, Any]:
        from airflow_provider_evolink.operators.parameters import image_parameters

        return {
            "prompt": self.prompt,
            **image_parameters(self.model, self.image, allow_loopback=hook.is_loopback),
            "duration": self.duration,
            "aspect_ratio": self.aspect_ratio,
        }
