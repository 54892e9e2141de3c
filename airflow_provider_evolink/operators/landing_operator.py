# SPDX-License-Identifier: Apache-2.0
"""The landing that the generating operators share: with a destination, they land what they have waited for.

The end of a generation is in the ledger before its landing begins. So a landing that fails, or dies with its worker,
is done again by a later try, which finds the finished generation and pays for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError
from airflow_provider_evolink.execution.landing_step import LANDED_FIELD, LandingStep
from airflow_provider_evolink.execution.literals import check_literals, literal_errors
from airflow_provider_evolink.execution.reports import name_unlanded_generation
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing.checkpoint import STORE_KEY
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN
from airflow_provider_evolink.lineage import datasets
from airflow_provider_evolink.links.evolink import EvoLinkWatchLink
from airflow_provider_evolink.operators.base import EvoLinkBaseOperator
from airflow_provider_evolink.result import links_expired

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.execution.pending import PendingGeneration
    from airflow_provider_evolink.submission.record import LedgerRecord
    from airflow_provider_evolink.types import GenerationRecord


class EvoLinkLandingOperator(EvoLinkBaseOperator):
    """Base of every operator that lands what it has waited for. Waiting takes the arguments of the base class.

    All four mean what they mean for
    :class:`~airflow_provider_evolink.transfers.evolink_to_object_storage.EvoLinkToObjectStorageOperator`, and are
    checked before anything is paid for. They are no part of the request: a clear with another destination lands the
    same generation there.

    :param destination: the folder to land the results in (templated); ``None`` = don't land them.
    :param filename_pattern: file name below ``destination`` (templated), ``{generation_id}/{index}.{ext}`` by default.
    :param on_existing: ``fail`` (default), ``replace`` or ``skip``: what to do when a file already has a result's name,
        and this task instance did not write it or it was changed since.
    :param asset_name: name of each file's asset, if ``outlets`` has an ``AssetAlias`` (templated); ``None`` = its URI.
    """

    template_fields: Sequence[str] = ("destination", "filename_pattern", "asset_name", "evolink_conn_id")
    operator_extra_links = (*EvoLinkBaseOperator.operator_extra_links, EvoLinkWatchLink())

    def __init__(
        self,
        *,
        destination: str | ObjectStoragePath | XComArg | None = None,
        filename_pattern: str = DEFAULT_PATTERN,
        on_existing: Literal["fail", "replace", "skip"] = "fail",
        asset_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        with literal_errors(kwargs.get("task_id")):
            check_literals(
                {
                    "destination": destination,
                    "filename_pattern": filename_pattern,
                    "on_existing": on_existing,
                    "asset_name": asset_name,
                }
            )
        self.destination: Any = destination
        self.filename_pattern = filename_pattern
        self.on_existing = on_existing
        self.asset_name = asset_name
        self._landing_store_key = STORE_KEY
        self._has_destination = destination is not None

    def _check_waiting(self, wait_for_completion: bool) -> None:
        """Refuse a destination for a task that ends before there is anything to land."""
        if not wait_for_completion and self.destination is not None:
            allowed = (
                "True if `destination` is set: a task that does not wait has nothing to land. Leave `destination` out, "
                "and land with EvoLinkToObjectStorageOperator what EvoLinkGenerationSensor collects"
            )
            raise InvalidInputError("wait_for_completion", wait_for_completion, allowed)

    def _check_destination(self) -> None:
        """Refuse a destination that another task has left empty: what is paid for would not land."""
        if self._has_destination and self.destination is None:
            allowed = "a folder, but the task or template that should have named it found none"
            raise InvalidInputError("destination", None, allowed)

    def _check_storage(self, hook: EvoLinkHook) -> None:
        """Refuse an object storage that nothing could land in. Called for what is about to be paid for, and only then.

        :raises LandingError: see :meth:`~airflow_provider_evolink.execution.landing_step.LandingStep.check_storage`.
        """
        if self.destination is not None:
            self._landing_step(hook).check_storage()

    def _landing_step(self, hook: EvoLinkHook) -> LandingStep:
        return LandingStep(
            destination=self.destination,
            filename_pattern=self.filename_pattern,
            on_existing=self.on_existing,
            outlets=self.outlets,
            hook=hook,
            log=self.log,
            store_key=self._landing_store_key,
            asset_name=self.asset_name,
            prompt=self._prompt(),
            lineage=self._lineage,
        )

    def _prompt(self) -> object:
        """Return the prompt, for the events about what has landed; ``None`` if this process does not know it."""
        return None

    def _log_cost(self, record: GenerationRecord) -> None:
        if self.destination is None:
            super()._log_cost(record)

    def _complete(self, context: Context, pending: PendingGeneration, generation: Generation) -> GenerationRecord:
        return self._land(context, super()._complete(context, pending, generation))

    def _land(self, context: Context, record: GenerationRecord) -> GenerationRecord:
        """Land the results of a generation whose end is recorded, and return its record with what has landed.

        :raises EvoLinkError: something has not landed. A retry lands what is missing and pays for nothing.
        """
        if self.destination is None:
            self._lineage.add_outputs([datasets.generation(record["generation_id"])])
            return record
        step = self._landing_step(EvoLinkHook(self.evolink_conn_id))
        try:
            landed = step.land(context, record)
        except EvoLinkError as error:
            name_unlanded_generation(error, record["generation_id"])
            raise
        record = {**record, LANDED_FIELD: landed}
        self._record_landing(context, record)
        return record

    def _record_landing(self, context: Context, record: GenerationRecord) -> None:
        """Record that the results have landed, if that makes a difference to a later try."""

    def _awaits_landing(self, known: LedgerRecord | None) -> bool:
        """Return whether the recorded result is not known to have landed, and still can."""
        if self.destination is None or known is None or known.result is None:
            return False
        return LANDED_FIELD not in known.result and not links_expired(known.result, now=time.time())
