# SPDX-License-Identifier: Apache-2.0
"""Keep requests between the check of all rows and their submission, so that the first window is not checked twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_evolink.batch.rows import Row

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest

# Of the requests that are kept. Those with pictures in them are large, and cheaper to make again than to hold.
_MAX_BYTES = 4 * 1024 * 1024


class CheckedRequests:
    """The requests of a table's first rows, as far as they fit into a few megabytes.

    :param prepare: checks a row and makes its request.
    :param max_count: of requests that are kept.
    """

    def __init__(self, prepare: Callable[[Row], GenerationRequest], max_count: int) -> None:
        self._prepare = prepare
        self._max_count = max_count
        self._kept: dict[int, tuple[Row, GenerationRequest]] = {}
        self._room = _MAX_BYTES

    def check(self, row: Row) -> GenerationRequest:
        """Return the request of a row, and keep it while there is room.

        :raises InvalidInputError: the row can't be sent.
        :raises ConnectionError, TimeoutError: an input of the row can't be read at the moment. A retry may succeed.
        """
        request = self._prepare(row)
        # Data that will be uploaded are no part of the body, but the row holds them.
        size = len(request.body) + sum(media.size or 0 for media in request.pending_media)
        if len(self._kept) < self._max_count and size <= self._room:
            self._kept[row.number] = row, request
            self._room -= size
        return request

    def take(self, row: Row) -> GenerationRequest:
        """Return the request of a row, the kept one if the row is still the same; it raises what :meth:`check` does."""
        kept, request = self._kept.pop(row.number, (None, None))
        return request if request is not None and kept == row else self._prepare(row)
