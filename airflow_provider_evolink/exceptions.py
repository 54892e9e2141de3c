# SPDX-License-Identifier: Apache-2.0
"""
How failures reach Airflow.

The failures themselves are in :mod:`airflow_provider_evolink.api.errors`, which knows no Airflow. Those which a
retry can't mend must end Airflow's retries, so they are raised as :class:`EvoLinkFailException`, with the failure
as its ``error``; all others are raised as they are and retried as the task says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.compat import AirflowFailException


class EvoLinkFailException(AirflowFailException):
    """
    A failure that no retry can mend; Airflow fails the task at once.

    :param error: the typed failure, as :class:`~airflow_provider_evolink.api.errors.InsufficientCreditsError`.
    """

    def __init__(self, error: EvoLinkError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise permanent failures so that Airflow does not retry them."""
    try:
        yield
    except EvoLinkError as error:
        if error.permanent:
            # Without the chain, whose tracebacks would bury the message at the end of the task's log.
            raise EvoLinkFailException(error) from None
        raise
