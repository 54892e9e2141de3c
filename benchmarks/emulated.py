# SPDX-License-Identifier: Apache-2.0
"""
The pacing again, not simulated: the real poller against the emulator, whose durations differ from its estimate by up
to a tenth.

Two waves of generations of one model run in real time, one before anything is known about it and one after.
``python -m benchmarks.emulated`` prints it; it takes two minutes.
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
_PATIENCE_SECONDS = 600.0


async def wave(poller: Poller, client: EvoLinkClient, count: int) -> list[float]:
    """Submit and wait for generations; return for each the seconds from its end to the poller's word."""
    prepared = request.prepare(MODEL, {"prompt": "a benchmark"})
    waits = []
    for _ in range(count):
        made = (await client.submit(prepared.endpoint, prepared.body, uuid.uuid4().hex)).generation
        if made.estimated_time != SECONDS:
            raise RuntimeError(f"The emulator's estimate is {made.estimated_time}, not {SECONDS}")
        waits.append(asyncio.create_task(_delay(poller, made.id)))
        await asyncio.sleep(_SPACING)
    return list(await asyncio.gather(*waits))


async def _delay(poller: Poller, generation_id: str) -> float:
    begin = time.time()
    watch = Watch(generation_id, begin, begin + _PATIENCE_SECONDS, estimated_time=SECONDS, model=MODEL)
    await poller.wait(watch, lambda _: None)
    return time.time() - begin - duration_of(generation_id)


def duration_of(generation_id: str, seconds: float = SECONDS) -> float:
    """How long the emulator lets a generation take that should take so long: it follows from the id."""
    return seconds * (1 + SPREAD * (2 * zlib.crc32(generation_id.encode()) / 0xFFFFFFFF - 1))


async def both_waves(emulator: server.EmulatorHandle) -> list[Paced]:
    """Run the waves, and compare each with the best plan for the emulator's durations."""
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
            asked = _questions(emulator)
            delays = await wave(poller, client, count)
            questions = (_questions(emulator) - asked) / count
            rows.append(paced(TITLE, title, [(questions, delay) for delay in delays], best))
    return rows


def _questions(emulator: server.EmulatorHandle) -> int:
    found: int = emulator.control.state()["requests"]["read"]
    return found


def measure() -> list[Paced]:
    """Run both waves against an emulator of their own, where a request can only be about one generation."""
    with server.running(emulator_settings.Settings(credits=1e9)) as emulator:
        emulator.control.inject("http_error", on="batch", times=None)
        return asyncio.run(both_waves(emulator))


if __name__ == "__main__":
    print(table(measure()))
