# SPDX-License-Identifier: Apache-2.0
"""Calls that are interrupted, and code between them that fails: nothing is paid for twice, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.types import GenerationRecord
from tests.hooks.calls import HARBOR, LIGHTHOUSE, MODEL, PythonTask
from tests.operators.submissions import accepted
from tests.task_harness import Store
from tests.uploading import LINKS_ONLY, forget_links, write_picture

pytestmark = pytest.mark.usefixtures("each_ledger", "no_pauses", "quick")


@pytest.fixture(autouse=True)
def _no_submission_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_links(monkeypatch)
    for module in ("send_outcome", "submitter"):
        monkeypatch.setattr(f"airflow_provider_evolink.submission.{module}.PAUSE_SECONDS", 0.0)


class InterruptingStore(Store):
    """A store that is interrupted, as by Ctrl-C or Airflow's own timeout, before or after its n-th write."""

    def __init__(self, write: int, *, after: bool) -> None:
        super().__init__()
        self._until, self._after = write, after

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Write, and raise a signal if this is the chosen write."""
        self._until -= 1
        if self._until == 0 and not self._after:
            signal.raise_signal(signal.SIGINT)
        super().set(key, value, retention=retention)
        if self._until == 0:
            signal.raise_signal(signal.SIGINT)


def call(key: str = "cover", parameters: dict[str, Any] = LIGHTHOUSE, **options: Any) -> GenerationRecord:
    """Generate a video."""
    return EvoLinkHook().generate(MODEL, parameters, key=key, poll_interval=0.1, **options)


async def call_async(key: str = "cover", parameters: dict[str, Any] = LIGHTHOUSE) -> GenerationRecord:
    """Do the same without blocking."""
    return await EvoLinkHook().generate_async(MODEL, parameters, key=key, poll_interval=0.1)


def until_requested(emulator: EmulatorHandle, endpoint: str) -> None:
    """Wait until EvoLink has a request."""
    while not emulator.control.state()["requests"].get(endpoint):
        time.sleep(0.05)


@pytest.mark.parametrize("endpoint", ["upload", "submit"])
def test_a_cancelled_call_does_not_undo_its_successor(
    emulator: EmulatorHandle, task: PythonTask, tmp_path: Path, endpoint: str
) -> None:
    """What a cancelled call still writes comes before a later call with its key, and not over what that has paid."""
    emulator.control.set_speed(2000)
    emulator.control.inject("slow_response", on=endpoint, seconds=3.0)
    picture = write_picture(tmp_path / "a.png")
    parameters = {"prompt": "It moves", "duration": 3, "image_urls": [picture]}

    async def cancel_and_repeat() -> GenerationRecord:
        hook = EvoLinkHook()
        first = asyncio.ensure_future(hook.generate_async(LINKS_ONLY, parameters, key="cover"))
        await asyncio.to_thread(until_requested, emulator, endpoint)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await hook.generate_async(LINKS_ONLY, parameters, key="cover", poll_interval=0.1)

    record = task.call(lambda: asyncio.run(cancel_and_repeat()))
    for thread in threading.enumerate():
        if thread.name == "evolink":
            thread.join(10)

    assert task.store.get("evolink:cover")["phase"] == "finished"
    again = task.call_again(lambda: EvoLinkHook().generate(LINKS_ONLY, parameters, key="cover", poll_interval=0.1))

    assert again["generation_id"] == record["generation_id"]
    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_an_interrupt_around_any_write(emulator: EmulatorHandle, task: PythonTask, write: int, after: bool) -> None:
    """Ctrl-C between the submission and the ledger: the next try resumes what is paid for."""
    task.store = InterruptingStore(write, after=after)
    with pytest.raises(KeyboardInterrupt):
        task.call(call)

    record = task.call_again(call)

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_the_next_call_of_the_same_try_resumes_an_interrupted_one(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Code that catches an interrupt and calls again pays once."""
    task.store = InterruptingStore(2, after=False)

    def stubborn() -> GenerationRecord:
        with pytest.raises(KeyboardInterrupt):
            call()
        return call()

    record = task.call(stubborn)

    assert [generation["id"] for generation in accepted(emulator)] == [record["generation_id"]]


def test_an_error_between_two_calls(emulator: EmulatorHandle, task: PythonTask) -> None:
    """The retry takes up what was made before the error, and pays only for what came after it."""

    def failing() -> None:
        call("first")
        raise ValueError("the code of a user")

    with pytest.raises(ValueError, match="code of a user"):
        task.call(failing)
    [first] = accepted(emulator)

    ids = task.call_again(lambda: [call(key)["generation_id"] for key in ("first", "second")])

    assert [generation["id"] for generation in accepted(emulator)] == ids
    assert ids[0] == first["id"]


def test_keys_in_another_order(emulator: EmulatorHandle, task: PythonTask) -> None:
    """A retry that goes through a set in another order finds each generation by its key."""
    requests = {"a": LIGHTHOUSE, "b": HARBOR, "c": {**LIGHTHOUSE, "duration": 4}}
    first = task.call(lambda: {key: call(key, value)["generation_id"] for key, value in requests.items()})

    again = task.call_again(
        lambda: {key: call(key, value)["generation_id"] for key, value in reversed(requests.items())}
    )

    assert again == first
    assert len(accepted(emulator)) == 3


def test_threads_of_a_task(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Calls in threads of the user's own are remembered in the task's ledger, too."""

    def in_threads() -> list[str]:
        with ThreadPoolExecutor(3) as pool:
            return [record["generation_id"] for record in pool.map(call, ("a", "b", "c"))]

    ids = task.call(in_threads)

    assert task.call_again(in_threads) == ids
    assert len(accepted(emulator)) == 3


def test_a_deferred_tasks_resume(emulator: EmulatorHandle, task: PythonTask) -> None:
    """Another process of the same try finds what the first has paid for, and pays for what follows under other keys."""
    before = task.call(lambda: call("before"))
    task.task = PythonTask().task

    def resume() -> list[str]:
        return [call(key)["generation_id"] for key in ("before", "after")]

    ids = task.call(resume)

    assert ids[0] == before["generation_id"]
    assert [generation["id"] for generation in accepted(emulator)] == ids


def test_a_group_that_fails_cancels_what_is_resumed(emulator: EmulatorHandle, task: PythonTask) -> None:
    """One invalid request of a group cancels the others wherever they are; the retry pays for none of them again."""

    async def group(last: dict[str, Any]) -> list[str]:
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(call_async(f"scene-{n}")) for n in range(4)]
            made.append(tasks.create_task(call_async("last", last)))
        return [each.result()["generation_id"] for each in made]

    with pytest.raises(ExceptionGroup) as caught:
        task.call(lambda: asyncio.run(group({**LIGHTHOUSE, "duration": 300})))
    assert caught.group_contains(InvalidInputError)

    ids = task.call_again(lambda: asyncio.run(group(HARBOR)))

    assert sorted(generation["id"] for generation in accepted(emulator)) == sorted(ids)
