# SPDX-License-Identifier: Apache-2.0
"""What all operators that wait in the triggerer share: they resume whatever becomes of their trigger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.compat import BaseOperator, TaskDeferralError, TaskDeferralTimeout, outer_task

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeferringOperator(BaseOperator):
    """Base of every operator that waits in the triggerer.

    :ivar deferrable: whether the DAG's author lets it.
    :ivar evolink_conn_id: connection of the account.
    """

    deferrable: bool
    evolink_conn_id: str

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume even without an event: a dead triggerer or a failed trigger must not lose what is paid for."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            # A trigger that runs ends before its deferral does.
            self.log.warning(
                "The deferral ended without an event (%s): is a triggerer running, and does it serve this task's queue "
                "and team? Reading once more what it waited for.",
                error,
            )
            return self._resume_without_event(context, next_kwargs or {})
        except TaskDeferralError as error:
            return self._resume_without_trigger(context, next_kwargs or {}, error)

    def _resume_without_event(self, context: Context, kwargs: Mapping[str, Any]) -> Any:
        """Resume after the deferral has timed out.

        :param kwargs: that the task was deferred with.
        """
        raise NotImplementedError

    def _resume_without_trigger(self, context: Context, kwargs: Mapping[str, Any], error: TaskDeferralError) -> Any:
        """Resume in this process after the trigger has failed: a new one might fail the same way, over and over.

        :param kwargs: that the task was deferred with.
        :param error: of the trigger.
        """
        raise NotImplementedError

    def _log_missing_connection(self) -> None:
        """Log why this worker waits itself: a new trigger would not find the connection either."""
        self.log.warning(
            "The triggerer has no connection %r, or may not read it. This task waits on the worker instead, in a slot.",
            self.evolink_conn_id,
        )

    def _can_defer(self, context: Context) -> bool:
        """Return whether this task can be resumed, which it can't if another task executes this operator by hand."""
        return self.deferrable and outer_task(self, context) is None
