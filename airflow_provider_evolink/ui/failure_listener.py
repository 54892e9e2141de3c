# SPDX-License-Identifier: Apache-2.0
"""A listener that leaves why a task has failed where the tabs find it: in an XCom of the task.

Airflow calls it in the process of the task, at its end, with whatever has ended it: an error of an operator, or of a
call of the hook in a task of any kind. The api-server could find that in a log only, which may lie anywhere. Every
Airflow process imports this module, so it imports little.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.listeners import hookimpl

log = logging.getLogger(__name__)


@hookimpl
def on_task_instance_failed(task_instance: Any, error: object) -> None:
    """Push why a try has failed, also if another one follows.

    :param task_instance: elsewhere than in a worker it has no operator to tell, or nothing to push with: the scheduler
        and the api-server call this too, about tasks that did not end by themselves.
    :param error: that has ended the try.
    """
    if not isinstance(error, BaseException):
        return
    try:
        _push(task_instance, error)
    except Exception as failure:
        # The log has the error itself.
        log.debug("Why the task has failed could not be kept for the tabs (%r).", failure)


def _push(ti: Any, error: BaseException) -> None:
    from airflow_provider_evolink.execution.try_notes import ERROR_KEY, failure_note

    task = getattr(ti, "task", None)
    note = failure_note(error, task, ti.try_number, redact=_redact)
    if note is not None:
        from airflow_provider_evolink.compat import push_to_database

        push_to_database(ti, ERROR_KEY, dict(note))


def _redact(text: str) -> str:
    from airflow_provider_evolink.compat import redact

    return redact(text)
