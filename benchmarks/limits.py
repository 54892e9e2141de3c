# SPDX-License-Identifier: Apache-2.0
"""Waiting under the documented rate limit: the real poller against the emulator, with sixty queries a minute and key.

A thousand generations of four models with batches, a hundred without. ``python -m benchmarks.limits`` prints how late
the end of each was noticed; at the real pace it takes seven minutes, with ``--clock 4`` two: the emulator's time, limit
included, then runs four times as fast.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import uuid
from dataclasses import dataclass

from airflow_provider_evolink.api import request
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.emulator import server
from airflow_provider_evolink.emulator import settings as emulator_settings
from airflow_provider_evolink.polling.policy import Outcome, Watch
from airflow_provider_evolink.polling.poller import Poller
from benchmarks.emulated import duration_of
from benchmarks.tables import markdown

# With EvoLink's estimates in seconds; the emulator's durations are within a tenth of them.
MODELS = {
    "gemini-3.1-flash-image-preview": 45.0,
    "gemini-omni-flash-text-to-video": 60.0,
    "gpt-image-2": 100.0,
    "suno-v5-beta": 120.0,
}
PER_MINUTE = 60
_SPACING = 0.01
_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Delays:
    """How late the ends of some generations were noticed.

    :param title: names the row.
    :param delays: seconds of each, sorted.
    :param seconds: from the first submission to the last noticed end.
    :param accepted: queries within the limit, about one or many generations.
    :param rate_limited: queries that got a 429.
    """

    title: str
    delays: list[float]
    seconds: float
    accepted: int
    rate_limited: int

    @property
    def cells(self) -> list[str]:
        """A row of the table."""
        p99 = self.delays[int(0.99 * (len(self.delays) - 1))]
        figures = (statistics.fmean(self.delays), p99, self.delays[-1], self.seconds)
        return [self.title, *(f"{figure:.1f}" for figure in figures), str(self.accepted), str(self.rate_limited)]


async def measure(title: str, count: int, emulator: server.EmulatorHandle, clock: float) -> Delays:
    """Submit generations and wait for all of them with one poller."""
    settings = Settings(base_url=emulator.url, files_url=emulator.url, api_key=emulator.api_key)

    async def lookup() -> Settings:
        return settings

    poller, waits, begin = Poller(lookup), [], time.monotonic()
    async with EvoLinkClient(settings) as client:
        for number in range(count):
            model = list(MODELS)[number % len(MODELS)]
            waits.append(asyncio.create_task(_delay(poller, await _submitted(client, model), model, clock)))
            await asyncio.sleep(_SPACING)
        delays = await asyncio.gather(*waits)
    state = emulator.control.state()
    queries, rate_limited = state["requests"]["read"] + state["requests"]["batch"], state["rate_limited_queries"]
    seconds = time.monotonic() - begin
    return Delays(title, sorted(delays), seconds, queries - rate_limited, rate_limited)


async def _submitted(client: EvoLinkClient, model: str) -> str:
    prepared = request.prepare(model, {"prompt": "a benchmark"})
    return (await client.submit(prepared.endpoint, prepared.body, uuid.uuid4().hex)).generation.id


async def _delay(poller: Poller, generation_id: str, model: str, clock: float) -> float:
    """Wait for a generation, and return how long after its end that was noticed."""
    begin, seconds = time.time(), MODELS[model] / clock
    watch = Watch(generation_id, begin, begin + _TIMEOUT_SECONDS, estimated_time=seconds, model=model)
    stop = await poller.wait(watch, lambda _: None)
    if stop.outcome is not Outcome.TERMINAL:
        raise RuntimeError(f"{generation_id} was given up: {stop}")
    return time.time() - begin - duration_of(generation_id, seconds)


def with_batches(count: int, clock: float) -> Delays:
    """Wait where one request covers up to fifty generations."""
    with server.running(emulator_settings.Settings(clock=clock, credits=1e9, query_limit=PER_MINUTE)) as emulator:
        return asyncio.run(measure(f"{count:,} with batches", count, emulator, clock))


def without_batches(count: int, clock: float) -> Delays:
    """Wait where each request is about one generation; batch requests are rejected and do not count."""
    with server.running(emulator_settings.Settings(clock=clock, credits=1e9, query_limit=PER_MINUTE)) as emulator:
        emulator.control.inject("batch_unsupported", times=None)
        return asyncio.run(measure(f"{count:,} without batches", count, emulator, clock))


def table(rows: list[Delays]) -> str:
    """Return the table, in Markdown."""
    heads = ["<waiting", "mean delay s", "p99 delay s", "longest delay s", "whole run s", "queries accepted", "429"]
    return markdown(heads, [row.cells for row in rows])


def main() -> None:
    """Run both, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description="waiting under a limit")
    parser.add_argument("--clock", type=float, default=1.0, help="how many times as fast as EvoLink (default: 1)")
    clock = parser.parse_args().clock
    print(table([with_batches(1000, clock), without_batches(100, clock)]))


if __name__ == "__main__":
    main()
