# SPDX-License-Identifier: Apache-2.0
"""A connection that a worker does not find: the error names it, what it cost, and how to define it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import BaseOperator

from airflow_provider_evolink.api.errors import (
    ConnectionNotFoundError,
    EvoLinkError,
    InputConnectionNotFoundError,
    LandingError,
    PollingFailedError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks import storage_file
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator
from airflow_provider_evolink.operators.upload import EvoLinkUploadOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from testkit.s3 import BUCKET, S3
from tests.batch.batches import batch, rows
from tests.operators.landings import LandingHarness
from tests.operators.submissions import accepted, operator

ID = "task-unified-1757156000-abcdefgh"
NAME = "AIRFLOW_CONN_EVOLINK_DEFAULT"
WAYS = ("'evolink_default'", "`airflow connections add evolink_default`", NAME, "secrets backend")
PICTURE = str(Path(__file__).parent.parent / "data" / "frame.png")


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


@pytest.mark.parametrize(
    "make",
    [
        lambda _: operator(),
        lambda folder: operator(destination=folder),
        lambda _: EvoLinkGenerationSensor(task_id="task", generation_id=ID),
        lambda folder: EvoLinkToObjectStorageOperator(task_id="task", generation=ID, destination=folder),
        lambda folder: batch(rows(1), folder, poll_interval=1),
        lambda _: EvoLinkUploadOperator(task_id="task", source=PICTURE),
        lambda folder: EvoLinkRecoverOperator(task_id="task", destination=folder),
    ],
    ids=["generate", "generate and land", "sensor", "transfer", "batch", "upload", "recover"],
)
def test_of_an_operator(harness: LandingHarness, tmp_path: Path, make: Callable[[str], BaseOperator]) -> None:
    """Nothing was sent, and a retry fails until it is there; but it may, as Airflow's secrets backend may be down."""
    with pytest.raises(ConnectionNotFoundError) as caught:
        make(str(tmp_path)).execute(harness.context)
    for part in (*WAYS, "Nothing was sent.", "A retry fails too until it is there"):
        assert part in str(caught.value)
    assert caught.value.retryable


def deferred(harness: LandingHarness, **kwargs: Any) -> None:
    """Pay for a generation, and wait for it."""
    with pytest.raises(TaskDeferred):
        operator(**kwargs).execute(harness.context)


def test_after_a_payment(
    emulator: EmulatorHandle, harness: LandingHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A later try that does not find the connection names what is paid for, and one that does resumes it."""
    deferred(harness)
    [made] = accepted(emulator)
    connection = emulator.airflow_connection
    monkeypatch.delenv(NAME)
    harness.ti.try_number = 2

    with pytest.raises(ConnectionNotFoundError) as caught:
        operator().execute(harness.context)

    for part in (*WAYS, made["id"], "credits reserved", "resumes it"):
        assert part in str(caught.value)
    assert caught.value.generation_id == made["id"]
    monkeypatch.setenv(NAME, connection)
    harness.ti.try_number = 3
    emulator.control.advance(1000)
    assert operator().execute(harness.context)["generation_id"] == made["id"]
    assert len(accepted(emulator)) == 1


@pytest.mark.parametrize("outcome", ["terminal", "no_connection"])
def test_after_a_wait(
    emulator: EmulatorHandle, harness: LandingHarness, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    """A worker that is to finish a wait, and does not find the connection either, names what is paid for."""
    deferred(harness)
    [made] = accepted(emulator)
    monkeypatch.delenv(NAME)

    with pytest.raises(PollingFailedError) as caught:
        operator().execute_complete(harness.context, {"generation_id": made["id"], "outcome": outcome})

    for part in (*WAYS, made["id"], "paid for", "A retry"):
        assert part in str(caught.value)
    assert "Nothing was sent" not in str(caught.value)


def test_while_landing(
    emulator: EmulatorHandle, harness: LandingHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If what is to land it does not find the connection any more, the error says that the generation is paid for."""
    deferred(harness, destination=str(tmp_path))
    [made] = accepted(emulator)
    emulator.control.advance(1000)
    task = operator(destination=str(tmp_path))
    complete = task._record_end

    def end_and_delete(*args: Any) -> None:
        complete(*args)
        monkeypatch.delenv(NAME)

    monkeypatch.setattr(task, "_record_end", end_and_delete)
    with pytest.raises(EvoLinkError) as caught:
        task.execute_complete(harness.context, {"generation_id": made["id"], "outcome": "terminal"})
    for part in (*WAYS, made["id"], "completed and paid for", "generates nothing"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda place, _: EvoLinkImageToVideoOperator(task_id="task", prompt="x", image=f"{place}/a.png", duration=3),
        lambda place, _: EvoLinkUploadOperator(task_id="task", source=f"{place}/a.png"),
        lambda place, folder: batch(
            rows(2, image_urls=[f"{place}/a.png"]), folder, model="wan2.5-image-to-video", poll_interval=1
        ),
        lambda place, folder: batch(f"{place}/rows.csv", folder, poll_interval=1),
    ],
    ids=["generate", "upload", "batch", "table"],
)
def test_of_an_input(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, make: Callable[[str, str], BaseOperator]
) -> None:
    """The connection of an input is named likewise, rather than that S3 is read without one, and nothing is sent."""
    with pytest.raises(InputConnectionNotFoundError) as caught:
        make("s3://nowhere@videos/x", str(tmp_path)).execute(harness.context)
    text = str(caught.value)
    parts = ("'nowhere'", "videos/x/", "`airflow connections add nowhere`", "AIRFLOW_CONN_NOWHERE")
    for part in (*parts, "Nothing was sent", "A retry fails too until it is there"):
        assert text.count(part) == 1
    assert caught.value.retryable
    assert emulator.control.state()["requests"]["submit"] == 0


def test_of_an_input_after_the_payment(
    emulator: EmulatorHandle, harness: LandingHarness, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier try has paid for is resumed although the connection of its input is gone."""
    monkeypatch.setenv("AIRFLOW_CONN_PICTURES", s3.connection)
    s3.file_system().pipe(f"{BUCKET}/in/a.png", Path(PICTURE).read_bytes())
    image = f"s3://pictures@{BUCKET}/in/a.png"
    task = EvoLinkImageToVideoOperator(task_id="task", prompt="x", image=image, duration=3)
    with pytest.raises(TaskDeferred):
        task.execute(harness.context)
    [made] = accepted(emulator)
    monkeypatch.delenv("AIRFLOW_CONN_PICTURES")
    storage_file._require_connection.cache_clear()  # as in another process
    harness.ti.try_number = 2
    emulator.control.advance(1000)

    assert task.execute(harness.context)["generation_id"] == made["id"]
    assert len(accepted(emulator)) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: operator(destination=folder),
        lambda folder: EvoLinkToObjectStorageOperator(task_id="task", generation=ID, destination=folder),
        lambda folder: batch(rows(1), folder, poll_interval=1),
    ],
    ids=["generate", "transfer", "batch"],
)
def test_of_a_storage(emulator: EmulatorHandle, harness: LandingHarness, make: Callable[[str], BaseOperator]) -> None:
    """The connection of a destination is named likewise, before anything is paid for or downloaded."""
    with pytest.raises(LandingError) as caught:
        make("s3://store@videos/x").execute(harness.context)
    for part in ("'store'", "`airflow connections add store`", "AIRFLOW_CONN_STORE", "cost nothing", "A retry"):
        assert part in str(caught.value)
    assert emulator.control.state()["requests"]["submit"] == 0
