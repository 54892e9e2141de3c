# SPDX-License-Identifier: Apache-2.0
"""How errors reach Airflow.

The errors themselves are in :mod:`airflow_provider_evolink.api.errors`, which imports no Airflow. A permanent one has
to end Airflow's retries, so it is raised as :class:`EvoLinkFailException`, with the original as its ``error``. All
others are raised unchanged and retried as the task is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.compat import AirflowFailException


class EvoLinkFailException(AirflowFailException):
    """A permanent failure: Airflow fails the task at once, without further retries.

    :param error: the typed error, such as :class:`~airflow_provider_evolink.api.errors.InsufficientCreditsError`.
    """

    def __init__(self, error: EvoLinkError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise permanent errors as :class:`EvoLinkFailException`, so that Airflow does not retry them."""
    try:
        yield
    except EvoLinkError as error:
        if error.permanent:
            # Without the chain, whose tracebacks would bury the message at the end of the task's log.
            raise EvoLinkFailException(error) from None
        raise
