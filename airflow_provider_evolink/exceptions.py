# SPDX-License-Identifier: Apache-2.0
"""How errors reach Airflow.

The errors themselves are in :mod:`airflow_provider_evolink.api.errors`, which imports no Airflow. A permanent one has
to end Airflow's retries, so it is raised as :class:`EvoLinkFailException`, with the original as its ``error``. All
others are raised unchanged and retried as the task is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_evolink.api.error_facts import ATTRIBUTES, ErrorAttributes, ErrorFacts
from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError
from airflow_provider_evolink.compat import AirflowFailException, is_parsing_dag_file

_NOT_RETRIED = "Airflow does not retry this task: fix that, then clear it."


class EvoLinkFailException(ErrorAttributes, AirflowFailException):
    """A permanent failure: Airflow fails the task at once, without further retries.

    It has the attributes of the error it wraps, see :class:`~airflow_provider_evolink.api.error_facts.ErrorAttributes`.

    :param error: the typed error, such as :class:`~airflow_provider_evolink.api.errors.InsufficientCreditsError`.
    """

    retryable = False

    def __init__(self, error: EvoLinkError) -> None:
        super().__init__(str(error))
        self.error = error
        for name in ATTRIBUTES:
            setattr(self, name, getattr(error, name))

    def __reduce__(self) -> tuple[type[EvoLinkFailException], tuple[Any, ...]]:
        """Make it survive pickle, which would call the constructor with the message."""
        return type(self), (self.error,)


@contextmanager
def airflow_errors(known: Callable[[], ErrorFacts] = ErrorFacts) -> Iterator[None]:
    """Raise permanent errors as :class:`EvoLinkFailException`, so that Airflow does not retry them.

    :param known: returns what the task knows about its generation, to complete the attributes of an error.
    """
    try:
        yield
    except EvoLinkError as error:
        error.complete(known())
        if isinstance(error, InvalidInputError) and not is_parsing_dag_file():
            # Only here, where it ends a task: one that is caught by a task, or is one of many rows, ends nothing.
            error.advise(_NOT_RETRIED)
        if error.permanent:
            # Without the chain, whose tracebacks would bury the message at the end of the task's log.
            raise EvoLinkFailException(error) from None
        raise
