# SPDX-License-Identifier: Apache-2.0
"""Local media and the results of earlier tasks as input of later ones, against the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from testkit.s3 import S3
from tests.media import files
from tests.task_harness import TaskHarness
from tests.uploading import forget_links, uploads

pytestmark = pytest.mark.usefixtures("no_submission_pauses", "no_pauses")
VIDEO_MODEL = "kling-v3-image-to-video"


@pytest.fixture(autouse=True)
def _new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_links(monkeypatch)


def video(image: Any, **kwargs: Any) -> EvoLinkImageToVideoOperator:
    """Return a task that makes a video of an image."""
    arguments = {"model": VIDEO_MODEL, "prompt": "Waves roll in", "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="video", image=image, **arguments)


def generate(model: str, **parameters: Any) -> EvoLinkGenerateOperator:
    """Return a task of any model."""
    return EvoLinkGenerateOperator(task_id="any", model=model, parameters=parameters, poll_interval=1)


def picture(destination: Path | str, **kwargs: Any) -> dict[str, Any]:
    """Make a picture that lands, and return its record."""
    task = EvoLinkGenerateOperator(
        task_id="picture", model="gpt-image-2", parameters={"prompt": "A lighthouse"}, poll_interval=1,
        destination=str(destination), **kwargs,
    )  # fmt: skip
    record: dict[str, Any] = TaskHarness().run(task)
    return record


def sent(emulator: EmulatorHandle) -> dict[str, Any]:
    """Return the parameters of the newest generation."""
    newest: dict[str, Any] = emulator.control.state()["generations"][-1]
    return newest


def test_local_pictures_become_a_video(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Two local pictures are uploaded, and the model gets their links as the first and the last frame."""
    for name, width in (("a.png", 1024), ("b.png", 1025)):
        (tmp_path / name).write_bytes(files.whole_png(width, 1024))
    record = harness.run(video(tmp_path / "a.png", last_image=str(tmp_path / "b.png")))
    assert record["status"] == "completed"
    assert len(uploads(emulator)) == 2


def test_local_media_of_a_video_edit(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """A local mp4 is edited, with a local picture as reference."""
    (tmp_path / "street.mp4").write_bytes(files.mp4(1280, 720, 5))
    (tmp_path / "snow.png").write_bytes(files.whole_png(1024, 1024))
    media = {"video_urls": [tmp_path / "street.mp4"], "image_urls": [str(tmp_path / "snow.png")]}
    assert harness.run(generate("wan2.7-video-edit", prompt="Make it snow", **media))["status"] == "completed"
    assert len(uploads(emulator)) == 2


@pytest.mark.parametrize("model", [VIDEO_MODEL, "gemini-omni-flash-image-to-video"])
def test_a_record_becomes_a_video(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path, model: str) -> None:
    """The link of an earlier task's result is sent while it lives: nothing is uploaded."""
    record = picture(tmp_path)
    assert harness.run(video(record, model=model))["status"] == "completed"
    assert uploads(emulator) == []


def test_a_record_whose_link_has_died(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """The file that landed is uploaded instead, and a retry that finds the link dead is the same request."""
    record = picture(tmp_path)
    first = harness.run(video(record))
    late = {**record, "expires_at": "2020-01-01T00:00:00+00:00"}
    assert harness.clear(video(late))["generation_id"] == first["generation_id"]
    assert uploads(emulator) == []
    assert TaskHarness().run(video(late))["status"] == "completed"
    assert len(uploads(emulator)) == 1


@pytest.mark.parametrize("form", ["record", "entries"])
def test_a_chain_through_a_bucket(
    emulator: EmulatorHandle, harness: TaskHarness, s3: S3, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """After the link has died, the landed file is read with the connection that its destination named."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    record = picture("s3://store@videos/chain")
    assert [entry["storage_conn_id"] for entry in record["landed"]] == ["store"]
    late = {**record, "expires_at": "2020-01-01T00:00:00+00:00"}
    assert harness.run(video(late if form == "record" else record["landed"]))["status"] == "completed"
    assert len(uploads(emulator)) == 1


def test_a_record_of_an_earlier_version(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Without the name of a connection, the landed file is read as before."""
    record = picture(tmp_path)
    old = [{name: entry[name] for name in entry if name != "storage_conn_id"} for entry in record["landed"]]
    late = {**record, "landed": old, "expires_at": "2020-01-01T00:00:00+00:00"}
    assert harness.run(video(late))["status"] == "completed"


def test_a_landed_entry_becomes_a_video(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """One entry of ``landed``, or the list of the one, as the transfer returns it, is that file."""
    landed = picture(tmp_path)["landed"]
    assert harness.run(video(landed[0]))["status"] == "completed"
    assert TaskHarness().run(video(landed))["status"] == "completed"


def test_a_result_that_is_gone_costs_nothing(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A dead link without a file ends the task by the name of the user's argument, before anything is sent."""
    record = TaskHarness().run(generate("gpt-image-2", prompt="A lighthouse"))
    submitted = emulator.control.state()["requests"]["submit"]
    with pytest.raises(EvoLinkFailException, match=r"^`image`=.*has expired.*has not landed.*cost nothing"):
        harness.run(video({**record, "expires_at": "2020-01-01T00:00:00+00:00"}))
    assert emulator.control.state()["requests"]["submit"] == submitted


def test_a_dead_link_does_not_lose_what_was_paid_for(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A clear after the link has died returns the result that an earlier try paid for."""
    record = TaskHarness().run(generate("gpt-image-2", prompt="A lighthouse"))
    first = harness.run(video(record))
    late = {**record, "expires_at": "2020-01-01T00:00:00+00:00"}
    assert harness.clear(video(late))["generation_id"] == first["generation_id"]


def test_a_record_of_a_video_is_no_picture(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A result of another kind is refused by the name of the user's argument."""
    record = TaskHarness().run(video("https://example.com/a.png"))
    with pytest.raises(EvoLinkFailException, match=r"^`image`=.*made video"):
        harness.run(video(record))


@pytest.mark.parametrize("upload", ["sometimes", None, True])
def test_an_upload_that_does_not_exist(upload: Any) -> None:
    """A misspelled ``upload`` is refused when the DAG file is parsed."""
    with pytest.raises(Exception, match=r"^`upload`=.*'auto' or 'always' or 'never'"):
        video("https://example.com/a.png", upload=upload)
