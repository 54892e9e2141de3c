# SPDX-License-Identifier: Apache-2.0
"""``EvoLinkHook.wait`` and ``land``: what the sensor and the transfer do, from Python."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_provider_evolink.api.errors import (
    AccessDeniedError,
    EvoLinkError,
    FileConflictError,
    GenerationFailedError,
    GenerationNotFoundError,
    GenerationTimeoutError,
    InvalidInputError,
    LandingInputError,
    PollingFailedError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.types import GenerationRecord
from tests.hooks.calls import LIGHTHOUSE, MODEL, PythonTask
from tests.leaping import LeapingTime
from tests.operators.landings import check_landed, files, sent

pytestmark = pytest.mark.usefixtures("no_pauses", "quick")

IDEMPOTENCY_KEY = "test-0123456789abcdef"


def submitted() -> str:
    """Submit a generation elsewhere, and return its id."""
    hook = EvoLinkHook()
    return hook.submit(hook.prepare(MODEL, LIGHTHOUSE), IDEMPOTENCY_KEY).generation.id


def wait(generation: object) -> GenerationRecord:
    """Wait for a generation, polling quickly."""
    return EvoLinkHook().wait(generation, poll_interval=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("as_record", [False, True])
def test_it_waits_for_what_was_submitted_elsewhere(emulator: EmulatorHandle, as_record: bool) -> None:
    """By its id or by a record of it; nothing is submitted."""
    generation_id = submitted()

    record = wait({"generation_id": generation_id, "status": "pending"} if as_record else generation_id)

    assert (record["generation_id"], record["status"]) == (generation_id, "completed")
    assert record["usage"]["credits_used"] is not None
    assert emulator.control.state()["requests"]["submit"] == 1


def test_it_waits_without_blocking(emulator: EmulatorHandle) -> None:
    """Awaited in one event loop, several waits share their requests."""
    hook = EvoLinkHook()
    ids = [
        hook.submit(hook.prepare(MODEL, {**LIGHTHOUSE, "prompt": str(n)}), f"{IDEMPOTENCY_KEY}-{n}").generation.id
        for n in range(3)
    ]

    async def all_of_them() -> list[GenerationRecord]:
        return await asyncio.gather(*(hook.wait_async(each, poll_interval=0.1) for each in ids))

    records = asyncio.run(all_of_them())

    assert [record["generation_id"] for record in records] == ids


def test_a_generation_that_failed(emulator: EmulatorHandle) -> None:
    """The error names it, and a retry is not promised to submit anything."""
    emulator.control.inject("generation_failed", on="submit", code="service_error")
    generation_id = submitted()

    with pytest.raises(GenerationFailedError, match="A retry finds the same") as caught:
        wait(generation_id)
    assert caught.value.generation_id == generation_id


def test_a_deadline_counts_from_the_call(emulator: EmulatorHandle) -> None:
    """It does not matter how old the generation is."""
    emulator.control.set_speed(0.1)
    generation_id = submitted()

    with pytest.raises(GenerationTimeoutError):
        EvoLinkHook().wait(generation_id, timeout=1)
    emulator.control.advance(1000)
    assert EvoLinkHook().wait(generation_id, timeout=1)["status"] == "completed"


@pytest.mark.parametrize("generation", ["", "a b", None, {}, {"generation_id": 7}])
def test_what_is_no_generation_is_refused(emulator: EmulatorHandle, generation: object) -> None:
    """Nothing is sent for a value that can't be an id."""
    with pytest.raises(InvalidInputError, match="`generation_id`="):
        wait(generation)
    assert sent(emulator, "read", "batch") == (0, 0)


@pytest.mark.parametrize("as_record", [False, True])
def test_it_lands_outside_of_a_task(emulator: EmulatorHandle, tmp_path: Path, as_record: bool) -> None:
    """By record or by id: the file is there, as described, and a second call keeps it."""
    record = wait(submitted())
    generation = record if as_record else record["generation_id"]

    landed = EvoLinkHook().land(generation, tmp_path.as_uri())

    check_landed({**record, "landed": landed}, tmp_path)
    assert EvoLinkHook().land(generation, str(tmp_path)) == landed


def test_a_retry_keeps_what_has_landed(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """In a task, the next try recognizes its own file, and downloads nothing."""
    task = PythonTask()
    record = wait(submitted())
    landed = task.call(lambda: EvoLinkHook().land(record, tmp_path, "{index}.{ext}"))
    downloads = sent(emulator, "media")

    assert task.call_again(lambda: EvoLinkHook().land(record, tmp_path, "{index}.{ext}")) == landed
    assert sent(emulator, "media") == downloads


def test_the_tasks_outlets_get_events(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """An alias gets an event for each file, an asset one with all of them, as from the transfer."""
    alias, asset = AssetAlias("videos"), Asset("video_folder")
    task = PythonTask(outlets=[alias, asset])

    record = wait(submitted())
    landed = task.call(lambda: EvoLinkHook().land(record, tmp_path, asset_name="harbor/{index}"))

    [event] = task.outlet_events[alias].asset_alias_events
    origin = {"model": record["model"], "credits": record["usage"]["credits_used"]}
    assert (event.dest_asset_key.name, event.extra) == ("harbor/0", {**landed[0], **origin})
    assert task.outlet_events[asset].extra == {"landed": landed}


def test_it_lands_several_at_the_same_time(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """Awaited together in a task, each keeps a checkpoint of its own."""
    task = PythonTask()

    async def make_and_land(name: str) -> None:
        hook = EvoLinkHook()
        record = await hook.generate_async(MODEL, LIGHTHOUSE, key=name, poll_interval=0.1)
        await hook.land_async(record, tmp_path, f"{name}.{{ext}}")

    async def all_of_them() -> None:
        await asyncio.gather(*(make_and_land(name) for name in ("a", "b", "c")))

    task.call(lambda: asyncio.run(all_of_them()))
    downloads = sent(emulator, "media")
    task.call_again(lambda: asyncio.run(all_of_them()))

    assert [file.name for file in files(tmp_path)] == ["a.mp4", "b.mp4", "c.mp4"]
    assert sent(emulator, "media") == downloads


def test_another_file_of_the_name(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """It is left alone, kept silently or replaced, as the caller wants."""
    record = wait(submitted())
    (tmp_path / "0.mp4").write_bytes(b"another")

    with pytest.raises(FileConflictError):
        EvoLinkHook().land(record, tmp_path, "{index}.{ext}")
    assert EvoLinkHook().land(record, tmp_path, "{index}.{ext}", on_existing="skip") == []
    assert (tmp_path / "0.mp4").read_bytes() == b"another"
    [landed] = EvoLinkHook().land(record, tmp_path, "{index}.{ext}", on_existing="replace")
    assert (tmp_path / "0.mp4").stat().st_size == landed["bytes"]


def test_invalid_arguments_download_nothing(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """A value that can't work is refused by name."""
    record = wait(submitted())

    with pytest.raises(LandingInputError, match="`destination`="):
        EvoLinkHook().land(record, "videos")
    with pytest.raises(LandingInputError, match="`filename_pattern`="):
        EvoLinkHook().land(record, tmp_path, "{sku}.{ext}")
    with pytest.raises(LandingInputError, match="`on_existing`="):
        EvoLinkHook().land(record, tmp_path, on_existing="overwrite")  # type: ignore[arg-type]
    assert sent(emulator, "media") == (0,)


UNKNOWN = "task-unified-1757169743-7cvnl5zw"


def new_id() -> str:
    """Return an id of a generation that would be a few seconds old."""
    return f"task-unified-{int(time.time()) - 5}-7cvnl5zw"


def wait_async(generation: str, **options: float) -> GenerationRecord:
    """Await a generation in an event loop."""
    return asyncio.run(EvoLinkHook().wait_async(generation, **options))


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("form", ["blocking", "awaited"])
def test_a_timeout_bounds_an_unknown_id(emulator: EmulatorHandle, form: str, is_new: bool) -> None:
    """The error that EvoLink does not know it comes when the timeout ends, however new the id is."""
    started, wait_for = time.monotonic(), wait_async if form == "awaited" else EvoLinkHook().wait
    generation_id = new_id() if is_new else UNKNOWN

    with pytest.raises(GenerationNotFoundError, match=f"{generation_id} .*404 task_not_found.*read 3 times") as caught:
        wait_for(generation_id, timeout=3)

    assert 2 < time.monotonic() - started < 10
    assert caught.value.permanent is True


def test_a_timeout_too_short_to_believe_a_refusal(emulator: EmulatorHandle) -> None:
    """A single 404 is reported as what it is: a retry may find the generation."""
    with pytest.raises(GenerationNotFoundError, match="It was read once with this response") as caught:
        EvoLinkHook().wait(UNKNOWN, timeout=0.001)
    assert caught.value.retryable


def test_a_long_timeout_waits_for_a_confirmation_only(emulator: EmulatorHandle, leaping: LeapingTime) -> None:
    """With half an hour to wait, an unknown id is reported after the two minutes that rule out a stray response."""
    with pytest.raises(GenerationNotFoundError, match=r"in 1[2-4]\d s"):
        EvoLinkHook().wait(UNKNOWN)
    assert 100 <= sum(leaping.slept) <= 150


def test_a_generation_that_is_known_late(emulator: EmulatorHandle) -> None:
    """A generation that EvoLink does not know right after its submission is waited for."""
    generation_id = submitted()
    emulator.control.inject("not_found", on="read", times=2)

    assert EvoLinkHook().wait(generation_id, timeout=60, poll_interval=0.1)["status"] == "completed"


@pytest.mark.parametrize(
    ("fault", "status", "expected"), [("server_error", 503, PollingFailedError), ("http_error", 403, AccessDeniedError)]
)
def test_a_timeout_bounds_other_failures(
    emulator: EmulatorHandle, fault: str, status: int, expected: type[EvoLinkError]
) -> None:
    """Neither an outage nor another refusal extends the wait."""
    generation_id, started = submitted(), time.monotonic()
    emulator.control.inject(fault, on="read", times=None, status=status)
    emulator.control.inject(fault, on="batch", times=None, status=status)

    with pytest.raises(expected, match=generation_id):
        EvoLinkHook().wait(generation_id, timeout=3)
    assert time.monotonic() - started < 15
