# SPDX-License-Identifier: Apache-2.0
"""Read many generations with few requests, by capability probing: a batch is tried, and not relied on.

``POST /v1/tasks/batch`` is undocumented, known from EvoLink's own clients only. If it is missing, is refused, or
responds in another shape, each generation is read with a request of its own, as documented, and a batch is tried again
later. A generation that a batch leaves out has to be read on its own before it counts as gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import AccessDeniedError, BadRequestError, InvalidResponseError
from airflow_provider_evolink.api.generation import MAX_BATCH, Generation

if TYPE_CHECKING:
    from airflow_provider_evolink.api.client import EvoLinkClient

# Seconds without batches: a refusal usually lasts; an invalid response may be a proxy's temporary failure.
_AFTER_REFUSAL_SECONDS, _AFTER_INVALID_SECONDS = 600.0, 60.0


class BatchReader:
    """Read generations of one account, and remember whether it takes batches."""

    def __init__(self) -> None:
        self._single_until = -math.inf

    def batch_size(self, now: float) -> int:
        """Return how many generations one request can read.

        :param now: seconds on a monotonic clock.
        """
        return MAX_BATCH if now >= self._single_until else 1

    async def read(self, client: EvoLinkClient, ids: Sequence[str], *, now: float) -> Mapping[str, Generation]:
        """Read generations with one request.

        :param ids: at most :meth:`batch_size` of them.
        :param now: seconds on a monotonic clock.
        :return: generations by id; one that is absent has to be read on its own.
        :raises EvoLinkError: none could be read, all for the same reason.
        """
        if len(ids) == 1:
            return {ids[0]: await client.generation(ids[0])}
        try:
            return await client.generations(ids)
        except (BadRequestError, AccessDeniedError):
            self._single_until = now + _AFTER_REFUSAL_SECONDS
        except InvalidResponseError:
            self._single_until = now + _AFTER_INVALID_SECONDS
        return {}

    def distrust_batches(self, now: float) -> None:
        """Stop using batches for a while, since one has left out a generation that exists."""
        self._single_until = now + _AFTER_REFUSAL_SECONDS
