# SPDX-License-Identifier: Apache-2.0
"""Put the parts of a batch together from the arguments of its task."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.batch.checked_requests import CheckedRequests
from airflow_provider_evolink.batch.existing_files import ExistingFiles
from airflow_provider_evolink.batch.names import row_fields, row_pattern
from airflow_provider_evolink.batch.options import BatchOptions
from airflow_provider_evolink.batch.rows import Row, RowTable
from airflow_provider_evolink.batch.run import BatchRun
from airflow_provider_evolink.batch.statuses import StatusReader
from airflow_provider_evolink.batch.validation import Checker
from airflow_provider_evolink.batch.wave import WaveSubmitter
from airflow_provider_evolink.batch.wave_builder import WaveBuilder
from airflow_provider_evolink.batch.window import Window
from airflow_provider_evolink.execution import limits
from airflow_provider_evolink.execution.credits_check import count_submission, credits_left
from airflow_provider_evolink.execution.task_state import open_batch_ledger
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing import asset_names
from airflow_provider_evolink.landing.storage_target import StorageTarget, storage_target
from airflow_provider_evolink.operators.batch_arguments import BatchArguments
from airflow_provider_evolink.operators.row_landing import row_lander
from airflow_provider_evolink.operators.row_requests import RowRequests
from airflow_provider_evolink.operators.row_source import row_table
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.rate_limiter import RateLimiter
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerRecord, fingerprint

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.generation import Submission
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.batch.cursor import Cursor
    from airflow_provider_evolink.media.uploader import Uploader

# 128 bits distinguish a row's requests; a chunk holds a hundred of them.
_FINGERPRINT_LENGTH = 32


class BatchParts:
    """The parts of a batch, each made once.

    :param arguments: of the operator.
    :param context: of this try.
    :param ledger_name: store key of the ledger.
    :param log: of the task.
    :ivar hook: the account.
    :ivar ledger: of the task instance.
    """

    def __init__(self, arguments: BatchArguments, context: Context, ledger_name: str, log: Any) -> None:
        self.arguments = arguments
        self.hook = EvoLinkHook(arguments.evolink_conn_id)
        self.ledger = open_batch_ledger(context, ledger_name, log)
        self._ti = context["ti"]
        self._ledger_name = ledger_name
        self._log = log

    @cached_property
    def options(self) -> BatchOptions:
        """The choices of the batch's author."""
        arguments, settings = self.arguments, self.hook.settings
        return BatchOptions(
            policy=arguments.policy,
            max_in_flight=arguments.max_in_flight,
            max_credits=arguments.max_credits,
            # Of an invalid one nobody knows: nothing is admitted before it is asked for, and refused.
            min_credits_left=math.inf if isinstance(self._minimum, InvalidInputError) else self._minimum,
            max_failed=arguments.max_failed,
            on_row_failure=arguments.on_row_failure,
            on_invalid=arguments.on_invalid,
            skip_existing=arguments.skip_existing,
            on_existing=arguments.on_existing,
            filename_pattern=arguments.filename_pattern,
            conn_id=arguments.evolink_conn_id,
            api_key=settings.api_key,
            fingerprint=lambda request: fingerprint(
                arguments.evolink_conn_id, settings.base_url, request.endpoint, request.body
            )[:_FINGERPRINT_LENGTH],
            watch=self._watch,
            try_number=self._ti.try_number,
            max_tries=self._ti.max_tries,
        )

    @cached_property
    def table(self) -> RowTable:
        """The rows."""
        return row_table(self.arguments.requests, self.arguments.key)

    @cached_property
    def requests(self) -> RowRequests:
        """Makes the rows' requests."""
        arguments = self.arguments
        return RowRequests(
            self.hook,
            arguments.model,
            arguments.parameters,
            name_fields={
                arguments.key,
                *row_fields(arguments.filename_pattern),
                *row_fields(arguments.asset_name or ""),
            },
            media_type=arguments.media_type,
            upload=arguments.upload,
        )

    @cached_property
    def checked_requests(self) -> CheckedRequests:
        """Those of the first window, between the check of all rows and their submission."""
        return CheckedRequests(self.requests.prepare, self.arguments.max_in_flight)

    @cached_property
    def target(self) -> StorageTarget:
        """The destination."""
        return storage_target(self.arguments.destination)

    @property
    def manifest(self) -> StorageTarget:
        """Where the manifest is written."""
        index = "" if self._ti.map_index is None or self._ti.map_index < 0 else f"-{self._ti.map_index}"
        # An operator that is executed by hand has a ledger for each call, and so a manifest.
        call = self._ledger_name.removeprefix(STORE_KEY)
        return self.target / (self.arguments.manifest or f"manifest-{self._ti.task_id}{call}{index}.jsonl")

    def name(self, row: Row) -> str:
        """Return the pattern of a row's file names.

        :raises InvalidInputError: the row lacks what its names, or those of its assets, are made of.
        """
        self.asset_name(row)
        return row_pattern(self.arguments.filename_pattern, row)

    def asset_name(self, row: Row) -> str | None:
        """Return the pattern of the names of a row's assets; ``None`` = the URIs of its files."""
        pattern = self.arguments.asset_name
        return None if pattern is None else row_pattern(pattern, row, asset_names.PARAMETER)

    def checker(self) -> Checker:
        """Return a checker that has not checked any row yet."""
        return Checker(self.checked_requests.take, self.name)

    def batch_run(
        self, client: EvoLinkClient, uploader: Uploader, cursor: Cursor, is_killed: Callable[[], bool]
    ) -> BatchRun:
        """Return one worker's share of the batch.

        :param client: for many requests at a time.
        :param uploader: of the rows' media.
        :param cursor: where the batch is; updated.
        :param is_killed: whether the task has been killed.
        """
        limiter = RateLimiter()
        return BatchRun(
            options=self.options,
            ledger=self.ledger,
            statuses=StatusReader(client, limiter),
            lander=row_lander(
                self.hook,
                self.target,
                on_existing=self.options.on_existing,
                try_number=self.options.try_number,
                failures_in_a_row=cursor.landing_failures,
            ),
            cursor=cursor,
            window=self._window(client, uploader, cursor, limiter, is_killed),
            log=self._log,
            unreachable_timeout=self.arguments.unreachable_timeout,
        )

    def _window(
        self,
        client: EvoLinkClient,
        uploader: Uploader,
        cursor: Cursor,
        limiter: RateLimiter,
        is_killed: Callable[[], bool],
    ) -> Window:
        async def post(request: GenerationRequest, idempotency_key: str) -> Submission:
            submission = await client.submit(request.endpoint, request.body, idempotency_key)
            count_submission(self.hook, submission)
            return submission

        options = self.options
        budget = cursor.budget(options.max_credits, options.min_credits_left)
        submitter = WaveSubmitter(self.ledger, post, options.policy, limiter, budget, uploader, is_killed, self._log)
        return Window(
            options=options,
            table=self.table,
            checker=self.checker(),
            waves=WaveBuilder(self.ledger, submitter, cursor),
            budget=budget,
            existing=ExistingFiles(self.target),
            cursor=cursor,
            is_killed=is_killed,
            credits_left=self._credits_left,
            log=self._log,
        )

    @cached_property
    def _minimum(self) -> float | InvalidInputError | None:
        """The credits to keep. An invalid ``[evolink] min_credits_left`` refuses what is new, and not what is paid."""
        try:
            return limits.min_credits_left(self.arguments.min_credits_left)
        except InvalidInputError as error:
            return error

    def _credits_left(self) -> float:
        if isinstance(self._minimum, InvalidInputError):
            raise self._minimum
        return credits_left(self.hook, max_age=0.0)

    def _watch(self, record: LedgerRecord) -> Watch:
        submitted_at = record.submitted_at or record.intent_at
        return Watch(
            generation_id=record.generation_id or "",
            submitted_at=submitted_at,
            deadline=submitted_at + self.arguments.wait_seconds,
            poll_interval=self.arguments.poll_interval,
            estimated_time=record.estimated_time,
            unreachable_timeout=self.arguments.unreachable_timeout,
            model=record.model,
        )
