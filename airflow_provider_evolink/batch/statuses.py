# SPDX-License-Identifier: Apache-2.0
"""Read what became of the generations of rows; free."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import EvoLinkError, RateLimitedError
from airflow_provider_evolink.api.generation import COMPLETED
from airflow_provider_evolink.polling.batch_reader import BatchReader

if TYPE_CHECKING:
    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.generation import Generation
    from airflow_provider_evolink.polling.rate_limiter import RateLimiter

# Requests that are prepared at a time; the client sends fewer.
_REQUESTS_IN_FLIGHT = 8

Reports = Mapping[str, "Generation | EvoLinkError"]


@dataclass
class StatusReader:
    """Read generations, up to fifty with one request.

    :param client: repeats a read that fails temporarily.
    :param limiter: of everything that is sent to the account.
    """

    client: EvoLinkClient
    limiter: RateLimiter
    _reader: BatchReader = field(default_factory=BatchReader)

    async def read(self, ids: Sequence[str]) -> Reports:
        """Read generations.

        :return: by id, EvoLink's report or why there is none.
        """
        reports: dict[str, Generation | EvoLinkError] = {}
        pending = list(ids)
        while pending:
            size = self._reader.batch_size(time.monotonic())
            groups = [pending[start : start + size] for start in range(0, len(pending), size)][:_REQUESTS_IN_FLIGHT]
            for report in await asyncio.gather(*map(self._read_group, groups)):
                reports.update(report)
            pending = pending[sum(map(len, groups)) :]
        return reports

    async def disconnect(self) -> None:
        """Free the memory that idle connections hold: the next request of the client opens new ones."""
        await self.client.disconnect()

    async def _read_group(self, ids: Sequence[str]) -> Reports:
        found = await self._request(ids)
        left_out = [generation_id for generation_id in ids if generation_id not in found]
        # One that a batch leaves out is gone only if it is not found on its own either.
        others = await asyncio.gather(*(self._request([generation_id]) for generation_id in left_out))
        return {**found, **{generation_id: report for other in others for generation_id, report in other.items()}}

    async def _request(self, ids: Sequence[str]) -> Reports:
        await self._wait_for_turn()
        try:
            found = await self._reader.read(self.client, ids, now=time.monotonic())
        except EvoLinkError as error:
            if isinstance(error, RateLimitedError):
                self.limiter.on_rate_limited(time.monotonic(), error.retry_after)
            return dict.fromkeys(ids, error)
        self.limiter.on_response(time.monotonic())
        return {generation_id: _compact(generation) for generation_id, generation in found.items()}

    async def _wait_for_turn(self) -> None:
        while True:
            seconds = self.limiter.reserve(time.monotonic())
            if seconds == 0:
                return
            await asyncio.sleep(seconds)


def _compact(generation: Generation) -> Generation:
    """Return a generation without the whole response, of which only a failure's is needed: it says what that cost."""
    has_failed = generation.is_terminal and generation.status != COMPLETED
    return generation if has_failed else replace(generation, raw={})
