# SPDX-License-Identifier: Apache-2.0
"""
Reads many generations with few requests, where EvoLink lets it.

``POST /v1/tasks/batch`` is known from EvoLink's own clients only, so it is tried at run time and not relied on: where
it is missing, refuses, or answers in another shape, each generation is read by itself, as documented, and the batch is
tried again later. What a batch leaves out has to be asked for by itself before it is believed gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import AccessDeniedError, BadRequestError, InvalidResponseError
from airflow_provider_evolink.api.generation import MAX_BATCH, Generation

if TYPE_CHECKING:
    from airflow_provider_evolink.api.client import EvoLinkClient

# A proxy that writes nonsense for a moment is no reason to do without for long; a refusal is.
_REFUSED_SECONDS, _NONSENSE_SECONDS = 600.0, 60.0


class BatchReader:
    """Reads generations of one account, and remembers whether it takes batches."""

    def __init__(self) -> None:
        self._single_until = -math.inf

    def batch_size(self, now: float) -> int:
        """Return how many generations one request can read; the time is that of a monotonic clock."""
        return MAX_BATCH if now >= self._single_until else 1

    async def read(self, client: EvoLinkClient, ids: Sequence[str], *, now: float) -> Mapping[str, Generation]:
        """
        Read generations with one request, at most as many as :meth:`width` says.

        :return: by id; what is absent has to be read by itself.
        :raises EvoLinkError: none could be read, for one reason.
        """
        if len(ids) == 1:
            return {ids[0]: await client.generation(ids[0])}
        try:
            return await client.generations(ids)
        except (BadRequestError, AccessDeniedError):
            self._single_until = now + _REFUSED_SECONDS
        except InvalidResponseError:
            self._single_until = now + _NONSENSE_SECONDS
        return {}

    def distrust_batches(self, now: float) -> None:
        """Take note that a generation which a batch left out is there: batches can't be trusted."""
        self._single_until = now + _REFUSED_SECONDS
