# SPDX-License-Identifier: Apache-2.0
"""Operator that lands what an account has paid for and nobody has landed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.compat import BaseOperator
from airflow_provider_evolink.exceptions import airflow_errors
from airflow_provider_evolink.execution.literals import literal_errors
from airflow_provider_evolink.execution.task_state import with_ledger_asset
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN
from airflow_provider_evolink.lineage.run import RunLineage
from airflow_provider_evolink.links.evolink import EvoLinkWatchLink
from airflow_provider_evolink.operators.lineage import LineageMethods
from airflow_provider_evolink.operators.mapping import given_once
from airflow_provider_evolink.operators.recover_arguments import check_literals, parse_arguments

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_evolink.types import RecoverySummary


class EvoLinkRecoverOperator(LineageMethods, BaseOperator):
    """Land the account's completed generations that have not landed yet, whoever submitted them. It never pays.

    It finds what was started by another tool or on the web page, what belongs to a run that was deleted, and what was
    paid for by a submission whose answer was lost. EvoLink's list of generations is undocumented; it is known from
    EvoLink's own clients.

    A generation is left alone if

    - this task has landed it in an earlier run, even if its files were moved or removed since;
    - its files are at ``destination`` already, recognized by the generation's id in their names;
    - an asset event of one of the task's ``inlets`` reports its landing: other tasks announce what they land to the
      ``AssetAlias`` or ``Asset`` in their ``outlets``.

    What other tasks have landed elsewhere without an asset event lands once more, as a copy. Generations that are under
    way are counted. Of each file that lands, ``outlets`` get an asset event, as for ``EvoLinkToObjectStorageOperator``;
    files that have landed in a run that failed are announced by the next one that succeeds.

    :param destination: the target folder, as for ``EvoLinkToObjectStorageOperator`` (templated).
    :param filename_pattern: names of the files, likewise (templated); with ``{generation_id}`` in it.
    :param asset_name: name of each file's asset, likewise (templated), without ``{role}``; ``None`` = its URI.
    :param lookback: how far back to look, by the time of submission, up to 30 days; a day by default, as long as most
        links live. Seconds, or a ``timedelta``.
    :param min_age: leave generations that were submitted later than this ago to the tasks that have submitted them, so
        that none lands twice. Seconds, or a ``timedelta``; 0 by default.
    :param model: only this model's generations (templated); ``None`` = all.
    :param max_generations: the most to land in a run, 1 to 10,000; the oldest first, and the others in a later run.
    :param evolink_conn_id: connection of type ``evolink`` or ``http``: whose account is looked through (templated).
    :return: ``{found, landed, skipped, failed, under_way, too_recent, left, credits_used}``: ``found`` = completed
        generations of the time; ``landed`` = what the transfer returns; ``skipped`` =
        how many were left alone; ``failed`` = ``[{generation_id, code, text}]`` of those whose links are dead, reported
        once by a failed run; ``left`` = how many are left to a later run; ``credits_used`` = what those in ``landed``
        have cost.
    :raises EvoLinkFailException: invalid input; or generations could not be landed, and a retry finds the same.
    :raises RecoveryFailedError: generations could not be landed; the others have. A retry lands what is missing.
    """

    template_fields: Sequence[str] = ("destination", "filename_pattern", "asset_name", "model", "evolink_conn_id")
    operator_extra_links = (EvoLinkWatchLink(),)
    ui_color = "#e9e2ff"

    def __init__(
        self,
        *,
        destination: str | ObjectStoragePath | XComArg,
        filename_pattern: str = DEFAULT_PATTERN,
        asset_name: str | None = None,
        lookback: float | timedelta = timedelta(days=1),
        min_age: float | timedelta = 0,
        model: str | XComArg | None = None,
        max_generations: int = 1000,
        evolink_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "inlets": with_ledger_asset(kwargs.get("inlets"))})
        self.destination: Any = destination
        self.filename_pattern = filename_pattern
        self.asset_name = asset_name
        self.lookback: Any = lookback
        self.min_age: Any = min_age
        self.model: Any = model
        self.max_generations = max_generations
        self.evolink_conn_id = evolink_conn_id
        self._lineage = RunLineage()
        with literal_errors(self.task_id):
            check_literals(self)

    @classmethod
    def partial(cls, *, inlets: Any = None, **kwargs: Any) -> Any:
        """Prepare a mapped task: it gets the asset that keeps its memory, and its literals are checked."""
        with literal_errors(kwargs.get("task_id")):
            check_literals(given_once(cls, kwargs))
        return super().partial(inlets=with_ledger_asset(inlets), **kwargs)

    def execute(self, context: Context) -> RecoverySummary:
        """List what the account has, and land what has not landed."""
        from airflow_provider_evolink.operators.recover_session import RecoverySession

        with airflow_errors():
            arguments = parse_arguments(self, now=time.time())
            session = RecoverySession(
                arguments, context, self.log, inlets=self.inlets, outlets=self.outlets, lineage=self._lineage
            )
            return session.run()
