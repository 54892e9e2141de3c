# SPDX-License-Identifier: Apache-2.0
"""Land the other results if one fails: their links expire, too.

Everything that can be landed is landed first. Then one failure is raised: one that a retry may fix rather than a
permanent one, so that Airflow keeps retrying the task as long as that can help.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, StorageRefusedError

log = logging.getLogger(__name__)

# After this many temporary failures in a row, the network or the storage is down rather than single results broken.
MAX_CONSECUTIVE_FAILURES = 3

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Failures:
    """Collect the failures of several generations or results."""

    def __init__(self) -> None:
        self._errors: list[EvoLinkError] = []
        self._unlogged: list[EvoLinkError] = []

    def each(self, items: Sequence[Item], do: Callable[[Item], Outcome]) -> list[Outcome]:
        """Call a function for each item and collect the failures; stop after too many temporary ones in a row.

        :return: the return values of the calls that did not fail.
        :raises StorageRefusedError, InvalidInputError: every other item would fail the same way.
        """
        outcomes: list[Outcome] = []
        consecutive = 0
        for left, item in zip(range(len(items) - 1, -1, -1), items, strict=True):
            try:
                outcomes.append(do(item))
                consecutive = 0
            except (StorageRefusedError, InvalidInputError):
                raise
            except EvoLinkError as error:
                consecutive = 0 if error.permanent else consecutive + 1
                self._note(error, goes_on=left > 0 and consecutive < MAX_CONSECUTIVE_FAILURES)
            if consecutive == MAX_CONSECUTIVE_FAILURES:
                break
        return outcomes

    def raise_any(self) -> None:
        """Raise if anything has failed.

        :raises EvoLinkError: the first failure that a retry may fix, otherwise the first failure.
        """
        if not self._errors:
            return
        raised = min(self._errors, key=lambda error: error.permanent)
        for error in self._unlogged:
            if error is not raised:
                log.warning("This has failed, too: %s", error)
        raise raised

    def _note(self, error: EvoLinkError, *, goes_on: bool) -> None:
        """Collect a failure; the last one is likely to be raised, which logs it."""
        self._errors.append(error)
        if goes_on:
            log.warning("Continuing with the other results, then failing the task: %s", error)
        else:
            self._unlogged.append(error)
