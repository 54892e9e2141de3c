# SPDX-License-Identifier: Apache-2.0
"""Operator that makes a generation for each row of a table, pays for each once, and lands them all."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from airflow_provider_evolink.api.error_facts import ErrorFacts
from airflow_provider_evolink.api.errors import ConfigurationError, InvalidInputError, InvalidRowsError
from airflow_provider_evolink.batch.names import DEFAULT_PATTERN
from airflow_provider_evolink.compat import TaskDeferralError, forward_kills
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.execution.literals import literal_errors
from airflow_provider_evolink.execution.task_state import store_key_suffix, with_ledger_asset
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID
from airflow_provider_evolink.lineage.datasets import Dataset, file
from airflow_provider_evolink.lineage.run import RunLineage
from airflow_provider_evolink.links.evolink import MANIFEST_LINK_KEY, EvoLinkManifestLink, EvoLinkWatchLink
from airflow_provider_evolink.operators.batch_arguments import check_literals, parse_arguments
from airflow_provider_evolink.operators.deferring import DeferringOperator
from airflow_provider_evolink.operators.lineage import LineageMethods
from airflow_provider_evolink.operators.mapping import given_once
from airflow_provider_evolink.polling.events import parse_batch_event
from airflow_provider_evolink.polling.policy import Outcome, deferral_seconds
from airflow_provider_evolink.submission.record import STORE_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.compat import BaseOperatorLink
    from airflow_provider_evolink.media.resolver import UploadPolicy
    from airflow_provider_evolink.operators.batch_session import BatchSession
    from airflow_provider_evolink.types import BatchSummary


class EvoLinkBatchOperator(LineageMethods, DeferringOperator):
    """Make a generation for each row of a table, land its files, and return a summary. Each row is paid for once.

    All rows are checked before the first is sent. Then rows are submitted in waves of up to a hundred until
    ``max_in_flight`` are under way; the task defers, and is resumed when half of ``max_in_flight`` have ended, or all,
    or when one has waited to be landed for ten minutes. It lands those that have ended, eight at a time in constant
    memory, and submits the next. Rows and results never travel through the trigger or XCom.

    Each row is recorded before and after it is sent, as ``EvoLinkGenerateOperator`` does, so that a retry, a crash or a
    clear resumes what is paid for. A retry submits a failed row again only if a new submission can help. Rows that were
    added to the table since are generated; rows that were removed are left alone.

    A field of a row is sent if EvoLink documents a parameter of that name for the row's model. ``model`` overrides the
    operator's, ``image`` and ``last_image`` are images in any form (see ``EvoLinkImageToVideoOperator``), and
    ``parameters``, a mapping, is sent as it is. All other fields serve to name files.

    :param model: EvoLink's model id, for rows that name none (templated).
    :param requests: a list of mappings (``rows.output``), or the path or URI of a JSON Lines or CSV file, which is read
        as a stream (templated).
    :param key: the field that names a row; unique (templated).
    :param destination: the target folder, as for ``EvoLinkToObjectStorageOperator`` (templated).
    :param filename_pattern: names of the files (templated): ``{key}``, any field of the row, and the fields that
        ``EvoLinkToObjectStorageOperator`` has.
    :param asset_name: name of each file's asset, if ``outlets`` has an ``AssetAlias`` (templated), with the same fields
        except ``{role}``, such as ``videos/{key}/{index}``; ``None`` = its URI.
    :param parameters: of all rows; a row's own fields win (templated).
    :param manifest: name of the manifest below ``destination`` (templated); by default ``manifest-<task_id>.jsonl``,
        with the map index of a mapped task. An earlier manifest of that name is replaced.
    :param max_in_flight: generations under way at EvoLink at a time, 1 to 10,000, 100 by default (templated).
    :param max_credits: stops submitting before what this task has reserved and used passes it; ``None`` = unlimited
        (templated). EvoLink states a price only in its response: the first row of each kind is sent alone to learn it,
        and the very first could pass the limit by itself.
    :param min_credits_left: stops submitting before the account or the API key would be left with fewer credits;
        ``None`` = ``[evolink] min_credits_left`` if that is set, otherwise any number (templated). They are read, free,
        before the first wave and then at most every ten seconds, whoever else spends them.
    :param max_failed: rows (``int``) or share of all rows (``float``) that may fail before the task does.
    :param on_row_failure: ``continue``, or ``stop``: once more rows than ``max_failed`` have failed, submit no more and
        land what is paid for.
    :param on_invalid: what to do if rows are invalid: ``fail`` before anything is sent, or ``skip`` them.
    :param skip_existing: do not generate a row whose file is at the destination already, unless this task made it.
    :param on_existing: with ``skip_existing=False``, ``fail`` a row whose file is there, before it is paid for, or
        ``replace`` the file.
    :param media_type: ``video``, ``image`` or ``audio``: the endpoint of models that this package does not know.
    :param upload: which images, videos and audio files get a link; see ``EvoLinkGenerateOperator``.
    :param evolink_conn_id: connection of type ``evolink`` or ``http`` (templated).
    :param deferrable: wait in the triggerer; otherwise on the worker, in the same bounded memory.
    :param timeout: seconds (or a ``timedelta``) from a row's submission after which it is no longer waited for;
        ``None`` = ``[evolink] default_timeout``, 30 minutes by default. The generation itself keeps running.
    :param poll_interval: seconds between two polls, at least 1; ``None`` = adaptive.
    :param on_unknown_submission: see ``EvoLinkGenerateOperator``; so for ``on_clear`` and ``on_changed_input``.
    :return: ``{manifest, total, landed, skipped, failed, unfinished, credits_used, credits_reserved}``. Credits are
        those of this task in all its tries, also for rows that the table no longer has. The manifest has a JSON line
        per row, in the order of the rows: ``{key, status, generation_id, uris, bytes, sha256, credits, error{code,
        text}, tries}``.
    :raises EvoLinkFailException: invalid input, or rows have failed and a retry would find the same.
    :raises BatchFailedError: rows have failed or are unfinished; a retry goes on with those it can help.
    """

    template_fields: Sequence[str] = (
        "model",
        "requests",
        "key",
        "destination",
        "filename_pattern",
        "asset_name",
        "parameters",
        "manifest",
        "max_in_flight",
        "max_credits",
        "min_credits_left",
        "evolink_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    operator_extra_links: Collection[BaseOperatorLink] = (EvoLinkManifestLink(), EvoLinkWatchLink())
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        model: str | XComArg | None = None,
        requests: Sequence[Mapping[str, Any]] | str | ObjectStoragePath | XComArg,
        key: str | XComArg,
        destination: str | ObjectStoragePath | XComArg,
        filename_pattern: str = DEFAULT_PATTERN,
        asset_name: str | None = None,
        parameters: Mapping[str, Any] | XComArg | None = None,
        manifest: str | None = None,
        max_in_flight: int | str = 100,
        max_credits: float | str | None = None,
        min_credits_left: float | str | None = None,
        max_failed: float = 0,
        on_row_failure: Literal["continue", "stop"] = "continue",
        on_invalid: Literal["fail", "skip"] = "fail",
        skip_existing: bool = True,
        on_existing: Literal["fail", "replace"] = "fail",
        media_type: Literal["video", "image", "audio"] | None = None,
        upload: UploadPolicy = "auto",
        evolink_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = True,
        timeout: float | timedelta | None = None,
        poll_interval: float | None = None,
        on_unknown_submission: Literal["replay", "fail"] = "replay",
        on_clear: Literal["reuse", "resubmit"] = "reuse",
        on_changed_input: Literal["fail", "resubmit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "inlets": with_ledger_asset(kwargs.get("inlets"))})
        self.model: Any = model
        self.requests: Any = requests
        self.key: Any = key
        self.destination: Any = destination
        self.filename_pattern = filename_pattern
        self.asset_name = asset_name
        self.parameters: Any = parameters
        self.manifest = manifest
        self.max_in_flight: Any = max_in_flight
        self.max_credits: Any = max_credits
        self.min_credits_left: Any = min_credits_left
        self.max_failed = max_failed
        self.on_row_failure = on_row_failure
        self.on_invalid = on_invalid
        self.skip_existing = skip_existing
        self.on_existing = on_existing
        self.media_type = media_type
        self.upload = upload
        self.evolink_conn_id = evolink_conn_id
        self.deferrable = deferrable
        self.timeout: Any = timeout
        self.poll_interval = poll_interval
        self.on_unknown_submission = on_unknown_submission
        self.on_clear = on_clear
        self.on_changed_input = on_changed_input
        self._was_killed = False
        self._ledger_name = STORE_KEY
        self._session: BatchSession | None = None
        self._lineage = RunLineage()
        with literal_errors(self.task_id):
            check_literals(self)

    @classmethod
    def partial(cls, *, inlets: Any = None, **kwargs: Any) -> Any:
        """Prepare a mapped task: it gets the asset that keeps the ledger's copies, and its literals are checked."""
        with literal_errors(kwargs.get("task_id")):
            check_literals(given_once(cls, kwargs))
        return super().partial(inlets=with_ledger_asset(inlets), **kwargs)

    def execute(self, context: Context) -> BatchSummary:
        """Check all rows, submit or resume them, paying for each at most once, and land what they make."""
        self._ledger_name = f"{STORE_KEY}{store_key_suffix(self, context)}"
        # Until there is a manifest, readers of the link find that of no earlier try.
        context["ti"].xcom_push(key=MANIFEST_LINK_KEY, value="")
        return self._work(context, None)

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, cursor: Mapping[str, Any] | None = None
    ) -> BatchSummary:
        """Land what has ended, and submit the next rows.

        :param context: of this try.
        :param event: of the trigger.
        :param cursor: where the batch was when it was deferred.
        """
        has_connection = parse_batch_event(event).outcome is not Outcome.NO_CONNECTION
        if not has_connection:
            self._log_missing_connection()
        return self._work(context, cursor, may_defer=has_connection)

    def on_kill(self) -> None:
        """Prevent submissions that have not been sent; those that were sent keep running, and stay paid for."""
        self._was_killed = True
        self.log.warning("Killed: nothing more will be submitted. %s", self._left_running())

    def _resume_without_event(self, context: Context, kwargs: Mapping[str, Any]) -> BatchSummary:
        return self._work(context, kwargs.get("cursor"))

    def _resume_without_trigger(
        self, context: Context, kwargs: Mapping[str, Any], error: TaskDeferralError
    ) -> BatchSummary:
        self.log.warning("The trigger failed (%s). This worker waits for the generations itself.", error)
        return self._work(context, kwargs.get("cursor"), may_defer=False)

    def _inputs(self) -> Iterable[Dataset]:
        """Return the table, if it is a file; the rows' pictures are noted at the end."""
        is_file = isinstance(self.requests, str) or hasattr(self.requests, "open")
        return [file(str(self.requests))] if is_file else []

    @property
    def manifest_link(self) -> str:
        """URI of the manifest that this process has written; empty until then."""
        return "" if self._session is None else self._session.manifest_link

    def _known(self) -> ErrorFacts:
        """Return what is known about the rows, for the errors of this task."""
        of_rows = ErrorFacts() if self._session is None else self._session.known()
        model = self.model if isinstance(self.model, str) else None
        return replace(of_rows, model=model, conn_id=str(self.evolink_conn_id))

    def _left_running(self) -> str:
        counts = "" if self._session is None else f" {self._session.describe()}."
        return (
            "Generations that are under way keep running at EvoLink, which can't cancel them, and stay paid for; a "
            f"retry or a clear of this task resumes them and submits none of them again.{counts}"
        )

    def _work(self, context: Context, cursor: object, *, may_defer: bool = True) -> BatchSummary:
        """Carry the batch on, until it is finished or has to wait."""
        from airflow_provider_evolink.operators.batch_parts import BatchParts
        from airflow_provider_evolink.operators.batch_session import BatchSession

        with airflow_errors(self._known), forward_kills(self, context), self._naming_paid_rows(context):
            arguments = parse_arguments(self)
            is_deferrable = may_defer and self._can_defer(context)
            parts = BatchParts(arguments, context, self._ledger_name, self.log)
            session = BatchSession(
                parts,
                context,
                self.log,
                outlets=self.outlets,
                lineage=self._lineage,
                is_killed=lambda: self._was_killed,
            )
            self._session = session
            summary = session.run(cursor, may_defer=is_deferrable)
        return self._defer(session) if summary is None else summary

    @contextmanager
    def _naming_paid_rows(self, context: Context) -> Iterator[None]:
        """Extend an error of invalid input with what was paid for before it."""
        try:
            yield
        except (InvalidInputError, InvalidRowsError, ConfigurationError) as error:
            from airflow_provider_evolink.batch.known_rows import rows_of_ledger
            from airflow_provider_evolink.batch.outcome_report import name_paid_rows
            from airflow_provider_evolink.execution.task_state import open_batch_ledger

            _, submitted = rows_of_ledger(open_batch_ledger(context, self._ledger_name, self.log))
            if submitted:
                name_paid_rows(error, len(submitted))
            raise

    def _defer(self, session: BatchSession) -> NoReturn:
        from airflow_provider_evolink.triggers.batch import EvoLinkBatchTrigger

        watches, now = session.watches, time.time()
        self.defer(
            trigger=EvoLinkBatchTrigger.for_watches(
                watches, session.wake_rule, self.evolink_conn_id, credits_reserved=session.cursor.tally.reserved
            ),
            method_name="execute_complete",
            kwargs={"cursor": session.cursor.to_json()},
            timeout=timedelta(seconds=max(deferral_seconds(watch, now=now) for watch in watches)),
        )
