# SPDX-License-Identifier: Apache-2.0
"""Pacing measured instead of simulated: the real poller against the emulator.

The emulator's durations are within a tenth of its estimate.

Two waves of generations of one model run in real time, the first before anything is known about the model and the
second after. ``python -m benchmarks.emulated`` prints the result after two minutes.
"""

from __future__ import annotations

import asyncio
import time
import uuid
import zlib

from airflow_provider_evolink.api import request
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.emulator import server
from airflow_provider_evolink.emulator import settings as emulator_settings
from airflow_provider_evolink.emulator.state.generations import SPREAD
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.polling.poll_plan import FLOOR
from airflow_provider_evolink.polling.poller import Poller
from benchmarks.bound import bound
from benchmarks.pacing import BEST, BEST_WITH_FLOOR, NEW, Paced, after, paced, table
from benchmarks.workloads import uniform

MODEL, SECONDS = "gemini-3.1-flash-image-preview", 45.0
WAVES = (60, 100)
TITLE = f"emulator, {SECONDS:.0f} s ± 10 %"
_STRATA = 800
_SPACING = 0.05
_TIMEOUT_SECONDS = 600.0


async def wave(poller: Poller, client: EvoLinkClient, count: int) -> list[float]:
    """Submit generations and wait for them; return for each the seconds from its end to the poller's result."""
    prepared = request.prepare(MODEL, {"prompt": "a benchmark"})
    waits = []
    for _ in range(count):
        submitted = (await client.submit(prepared.endpoint, prepared.body, uuid.uuid4().hex)).generation
        if submitted.estimated_time != SECONDS:
            raise RuntimeError(f"The emulator's estimate is {submitted.estimated_time}, not {SECONDS}")
        waits.append(asyncio.create_task(_delay(poller, submitted.id)))
        await asyncio.sleep(_SPACING)
    return list(await asyncio.gather(*waits))


async def _delay(poller: Poller, generation_id: str) -> float:
    begin = time.time()
    watch = Watch(generation_id, begin, begin + _TIMEOUT_SECONDS, estimated_time=SECONDS, model=MODEL)
    await poller.wait(watch, lambda _: None)
    return time.time() - begin - duration_of(generation_id)


def duration_of(generation_id: str, seconds: float = SECONDS) -> float:
    """Return how long the emulator takes for a generation, which follows from its id.

    :param generation_id: its id.
    :param seconds: its estimated duration.
    """
    return seconds * (1 + SPREAD * (2 * zlib.crc32(generation_id.encode()) / 0xFFFFFFFF - 1))


async def both_waves(emulator: server.EmulatorHandle) -> list[Paced]:
    """Run both waves, and compare each with the best plan for the emulator's durations."""
    settings = Settings(base_url=emulator.url, files_url=emulator.url, api_key=emulator.api_key)
    durations = uniform(TITLE, SECONDS * (1 - SPREAD), SECONDS * (1 + SPREAD)).stratified(_STRATA)
    best, free = bound(durations, floor=FLOOR), bound(durations)

    async def lookup() -> Settings:
        return settings

    rows = [
        Paced(TITLE, BEST, free.requests, free.delay, 0.0, free.product / best.product),
        Paced(TITLE, BEST_WITH_FLOOR, best.requests, best.delay, 0.0, 1.0),
    ]
    poller = Poller(lookup)
    async with EvoLinkClient(settings) as client:
        for title, count in zip((NEW, after(WAVES[0])), WAVES, strict=True):
            before = _queries(emulator)
            delays = await wave(poller, client, count)
            queries = (_queries(emulator) - before) / count
            rows.append(paced(TITLE, title, [(queries, delay) for delay in delays], best))
    return rows


def _queries(emulator: server.EmulatorHandle) -> int:
    found: int = emulator.control.state()["requests"]["read"]
    return found


def measure() -> list[Paced]:
    """Run both waves against their own emulator, where a request can be about one generation only."""
    with server.running(emulator_settings.Settings(credits=1e9)) as emulator:
        emulator.control.inject("http_error", on="batch", times=None)
        return asyncio.run(both_waves(emulator))


if __name__ == "__main__":
    print(table(measure()))
