# SPDX-License-Identifier: Apache-2.0
"""
Keeps one failure from taking the other results with it: their links die, too.

What can be landed is landed first. What could not is raised in the end: a failure that a retry may mend before one that
it can't, so that the task's retries go on for as long as there is something to gain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from airflow_provider_evolink.api.errors import EvoLinkError, InvalidInputError, StorageRefusedError

log = logging.getLogger(__name__)

# So many failures in a row that may pass are those of a network or a storage rather than of single results.
MOST_IN_A_ROW = 3

Item = TypeVar("Item")
Done = TypeVar("Done")


class Failures:
    """What went wrong with some of several generations or results."""

    def __init__(self) -> None:
        self._errors: list[EvoLinkError] = []

    def each(self, items: Iterable[Item], do: Callable[[Item], Done]) -> list[Done]:
        """
        Do something for each item, and keep the failures; after too many in a row that may pass, leave out the rest.

        :return: what was done for those with which nothing went wrong.
        :raises StorageRefusedError, InvalidInputError: the same would happen to all the others.
        """
        done: list[Done] = []
        in_a_row = 0
        for item in items:
            try:
                done.append(do(item))
                in_a_row = 0
            except (StorageRefusedError, InvalidInputError):
                raise
            except EvoLinkError as error:
                log.warning("The others come first, then this ends the task: %s", error)
                self._errors.append(error)
                in_a_row = 0 if error.permanent else in_a_row + 1
            if in_a_row == MOST_IN_A_ROW:
                break
        return done

    def raise_any(self) -> None:
        """
        End the task if something went wrong.

        :raises EvoLinkError: the first failure that a retry may mend, or else the first.
        """
        if self._errors:
            raise min(self._errors, key=lambda error: error.permanent)
