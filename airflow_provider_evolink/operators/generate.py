# SPDX-License-Identifier: Apache-2.0
"""Operator that submits a paid generation, once, and waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.errors import GenerationNotFoundError
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.compat import forward_kills
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.execution import task_ledger
from airflow_provider_evolink.execution.credits_check import CountedSubmission
from airflow_provider_evolink.execution.ledger_progress import LedgerProgress
from airflow_provider_evolink.execution.literals import check_literals, is_literal, literal_errors
from airflow_provider_evolink.execution.pending import PendingGeneration
from airflow_provider_evolink.execution.policies import POLICIES, check_policies
from airflow_provider_evolink.execution.reports import killed
from airflow_provider_evolink.execution.submission_step import SubmissionStep
from airflow_provider_evolink.execution.task_state import (
    has_store,
    open_ledger,
    store_key_suffix,
    with_ledger_asset,
)
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing import checkpoint
from airflow_provider_evolink.lineage import datasets
from airflow_provider_evolink.lineage.run import GenerationFacts
from airflow_provider_evolink.operators.base import GENERATION_ID_KEY
from airflow_provider_evolink.operators.landing_operator import EvoLinkLandingOperator
from airflow_provider_evolink.polling.confirmed_read import Refused
from airflow_provider_evolink.result import Origin, build_record
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerRecord, Phase
from airflow_provider_evolink.submission.submitter import SubmissionResult, Submitter

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.media.resolver import UploadPolicy
    from airflow_provider_evolink.types import GenerationRecord

# Those that may be literals, besides the arguments of the base classes.
_OWN_ARGUMENTS = ("model", "parameters", "media_type", "callback_url", "upload", "min_credits_left", *POLICIES)


class EvoLinkGenerateOperator(EvoLinkLandingOperator):
    """Submit a generation of any EvoLink model, wait for it, and return its record. One task instance pays once.

    The submission is recorded in Airflow's task state store before and after it is sent, and in a copy that no clear
    empties, so that a retry, a crash or a clear resumes the generation that is paid for. A retry submits again only if
    EvoLink rejected the submission or failed to make the generation. An operator that is executed by hand inside
    another task waits on the worker, and each call pays for a generation of its own.

    With a ``destination`` the task also lands the results, with the asset events of ``EvoLinkToObjectStorageOperator``.
    If that fails, a retry or a clear lands what is missing, and pays for nothing.

    :param model: EvoLink's model id. A model that this package does not know passes with a warning.
    :param parameters: the model's parameters as EvoLink documents them, such as ``prompt`` and ``duration``. Images,
        videos and audio files may be links, data URLs, base64, local paths, storage URIs or ``ObjectStoragePath``, or
        the record of an earlier generation (``task.output``), also inside lists.
    :param media_type: ``video``, ``image`` or ``audio``: the endpoint of a model that this package does not know.
    :param callback_url: public https URL, at most 2048 characters, that EvoLink posts the result to (documented).
        Airflow displays it among the rendered fields: take a token in it from a connection,
        ``?token={{ conn.my_hook.password }}``, which is displayed as ``***``.
    :param upload: which images, videos and audio files get a link before the submission: with ``auto`` those that the
        model does not take themselves, with ``always`` all that are not links, with ``never`` none: they are refused.
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
    :param min_credits_left: credits that the account and the API key must have left before a new submission, otherwise
        nothing is sent (templated); ``None`` = ``[evolink] min_credits_left`` if that is set, or else any number. One
        free read, which a process shares for ten seconds. EvoLink states a price only in its response, so fewer may be
        left afterwards.
    :return: ``{generation_id, model, status, results[], result_data, expires_at, submitted_at, finished_at,
        usage{credits_reserved, credits_used, billing_rule}, reattached, try_number}``, and with a ``destination`` also
        ``landed[]``, which is what the transfer returns. The id is also pushed to XCom as ``generation_id`` before the
        wait begins.
    :raises EvoLinkFailException: invalid input, a rejected submission, or a failure that a retry can't fix.
    :raises CreditsBelowMinimumError: too few credits are left; a retry reads them again.
    :raises GenerationFailedError: EvoLink could not make it; a retry submits a new one.
    :raises GenerationTimeoutError: it did not finish in time; a retry resumes it.
    :raises LandingError: a result could not be landed; a retry lands it and pays for nothing.

    How to wait and where to land: see the parameters of the base classes
    :class:`~airflow_provider_evolink.operators.base.EvoLinkBaseOperator` and
    :class:`~airflow_provider_evolink.operators.landing_operator.EvoLinkLandingOperator`.
    """

    template_fields: Sequence[str] = (
        "model",
        "parameters",
        "callback_url",
        "min_credits_left",
        *EvoLinkLandingOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        model: str | XComArg,
        parameters: Mapping[str, Any] | XComArg,
        media_type: Literal["video", "image", "audio"] | None = None,
        callback_url: str | XComArg | None = None,
        upload: UploadPolicy = "auto",
        wait_for_completion: bool = True,
        on_unknown_submission: Literal["replay", "fail"] = "replay",
        on_clear: Literal["reuse", "resubmit"] = "reuse",
        on_changed_input: Literal["fail", "resubmit"] = "fail",
        min_credits_left: float | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "inlets": with_ledger_asset(kwargs.get("inlets"))})
        self.model: Any = model
        self.parameters = parameters
        self.media_type = media_type
        self.callback_url: Any = callback_url
        self.upload = upload
        self.wait_for_completion = wait_for_completion
        self.on_unknown_submission = on_unknown_submission
        self.on_clear = on_clear
        self.on_changed_input = on_changed_input
        self.min_credits_left: Any = min_credits_left
        with literal_errors(self.task_id):
            self._check_waiting(wait_for_completion)
            check_literals({name: getattr(self, name) for name in _OWN_ARGUMENTS}, required=("model",))
            if is_literal(parameters):
                self._parameters_given()
        self._was_killed = False
        self._paid: LedgerRecord | None = None
        self._progress = LedgerProgress()
        self._ledger_name = STORE_KEY

    @classmethod
    def partial(cls, *, inlets: Any = None, **kwargs: Any) -> Any:
        """Prepare a mapped task, which gets the asset that keeps the ledger's copies as well."""
        return super().partial(inlets=with_ledger_asset(inlets), **kwargs)

    def execute(self, context: Context) -> GenerationRecord:
        """Submit the generation or resume it, paying at most once, and wait for it."""
        suffix = store_key_suffix(self, context)
        self._latest, self._progress = None, LedgerProgress()
        self._ledger_name, self._landing_store_key = f"{STORE_KEY}{suffix}", f"{checkpoint.STORE_KEY}{suffix}"
        with airflow_errors(self._known), forward_kills(self, context):
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
            unfinished = build_record(latest, pending.origin, now=time.time())
            self._lineage.add_generation(GenerationFacts.of_record(unfinished))
            self._lineage.add_outputs([datasets.generation(latest.id)])
            return unfinished

    def on_kill(self) -> None:
        """Prevent a submission that has not been sent; one that was sent keeps running, as EvoLink can't cancel it."""
        self._was_killed = True
        self.log.warning("%s", killed(self._paid, self.evolink_conn_id))

    def _known(self) -> ErrorFacts:
        model = self.model if isinstance(self.model, str) else None
        return self._progress.facts.or_else(super()._known()).or_else(ErrorFacts(model=model))

    def _inputs(self) -> Iterable[datasets.Dataset]:
        from airflow_provider_evolink.lineage.inputs import inputs_of

        return inputs_of(str(self.model), self._given_parameters())

    def _given_parameters(self) -> Mapping[str, Any]:
        """Return the model's parameters as far as this process knows them."""
        return self.parameters if isinstance(self.parameters, Mapping) else {}

    def _prompt(self) -> object:
        return self._given_parameters().get("prompt")

    def _parameters(self, hook: EvoLinkHook) -> Mapping[str, Any]:  # noqa: ARG002 - a subclass needs it
        """Return the model's parameters."""
        return self._parameters_given()

    def _parameters_given(self) -> Mapping[str, Any]:
        from airflow_provider_evolink.operators.parameters import as_parameters

        return as_parameters(self.parameters)

    def _read_ledger(self, context: Context) -> LedgerRecord | None:
        return self._ledger(context).read() if has_store(context) else None

    def _submit_or_resume(self, context: Context, known: LedgerRecord | None) -> SubmissionResult:
        """Submit a generation, or resume the one that the ledger holds."""
        hook, ti = EvoLinkHook(self.evolink_conn_id), context["ti"]
        step = SubmissionStep(
            account=hook,
            make_request=lambda: self._request(hook),
            make_submitter=lambda resumable: self._submitter(context, hook, resumable),
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            log=self.log,
        )
        return step.run(known)

    def _request(self, hook: EvoLinkHook) -> GenerationRequest:
        from airflow_provider_evolink.operators.parameters import results_requested

        parameters = dict(self._parameters(hook))
        if self.callback_url is not None:
            parameters["callback_url"] = self.callback_url
        request = self._prepare(hook, parameters)
        self._check_arguments()
        self._check_destination()
        if self.destination is not None:
            self._landing_step(hook).check(request.model, results_requested(parameters))
        return request

    def _prepare(self, hook: EvoLinkHook, parameters: Mapping[str, Any]) -> GenerationRequest:
        return hook.prepare(self.model, parameters, media_type=self.media_type, upload=self.upload)

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
        counted = CountedSubmission(hook, self.min_credits_left)

        def admit(request: GenerationRequest) -> AbstractContextManager[None]:
            self._check_storage(hook)
            return counted.admitted(request)

        return Submitter(
            ledger=self._ledger(context),
            send=counted.send,
            read=hook.get_generation,
            policy=Policy(self.on_unknown_submission, on_clear, self.on_changed_input),
            log=self.log,
            on_submitted=lambda record: self._on_submitted(context, record),
            is_killed=lambda: self._was_killed,
            upload=hook.media_links,
            admit=admit,
        )

    def _on_submitted(self, context: Context, record: LedgerRecord) -> None:
        self._paid = record
        self._progress.note(record)
        if self._was_killed:
            # The kill came while the request was being sent: report the generation that it has paid for.
            self.on_kill()
        context["ti"].xcom_push(key=GENERATION_ID_KEY, value=record.generation_id)

    def _ledger(self, context: Context) -> Ledger:
        return open_ledger(context, self._ledger_name, self.log, self._progress.note)

    def _submitted_record(self, context: Context, generation_id: object = None) -> LedgerRecord:
        self._paid = task_ledger.read_submitted(self._ledger(context), generation_id, model=str(self.model))
        return self._paid

    def _pending(self, context: Context, event: Mapping[str, Any] | None) -> PendingGeneration:
        generation_id = event.get("generation_id") if isinstance(event, Mapping) else None
        record = self._submitted_record(context, generation_id)
        return task_ledger.pending_generation(record, context["ti"].try_number)

    def _record_end(
        self, context: Context, pending: PendingGeneration, generation: Generation, record: GenerationRecord | None
    ) -> None:
        known = self._submitted_record(context, pending.generation_id)
        ledger, max_tries = self._ledger(context), context["ti"].max_tries
        self._paid = task_ledger.record_end(ledger, known, generation, record, max_tries=max_tries)

    def _record_landing(self, context: Context, record: GenerationRecord) -> None:
        if self.on_clear == "resubmit" and self._paid is not None:
            task_ledger.record_landing(self._ledger(context), self._paid, record, self.log)

    def _record_refusal(self, context: Context, refused: Refused) -> None:
        if isinstance(refused.error, GenerationNotFoundError):
            record = self._submitted_record(context)
            task_ledger.record_missing(self._ledger(context), record, since=time.time() - refused.seconds, log=self.log)

    def _reuse_result(self, context: Context, result: Mapping[str, Any]) -> GenerationRecord:
        lands = self.destination is not None
        record = task_ledger.reused_result(result, context["ti"].try_number, self.log, lands=lands)
        self._publish_result(context, record)
        return self._land(context, record)
