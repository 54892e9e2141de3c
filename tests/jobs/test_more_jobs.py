# SPDX-License-Identifier: Apache-2.0
"""More jobs of a data team, written with the documentation only."""

from __future__ import annotations

import csv
import os
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from tests.jobs.job_files import Put, Run
from tests.marks import needs_provider_metadata
from tests.media import files

pytestmark = pytest.mark.filterwarnings("default")


def returned(run: Any, task_id: str) -> Any:
    """Return what a task of a run has returned."""
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def names(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_mapped_group(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """Each row of the plan is a picture and a video of it, by the models of the row."""
    assert run("campaign_group").state == "success"

    made = [generation["model"] for generation in emulator.control.state()["generations"]]
    assert sorted(made) == [
        "gemini-omni-flash-image-to-video", "gpt-image-2", "kling-v3-image-to-video", "z-image-turbo",
    ]  # fmt: skip
    assert len(list((bucket / "campaign").iterdir())) == 4


def test_an_upscale(run: Run, emulator: EmulatorHandle, bucket: Path, put: Put) -> None:
    """A landed video is uploaded, upscaled, and lands under its own name."""
    put("rough/sea.mp4", files.mp4())

    assert run("upscale").state == "success"

    assert names(bucket / "fine") == ["sea.mp4"]
    assert len(emulator.control.state()["uploads"]) == 1


def test_thumbnails(run: Run, emulator: EmulatorHandle, bucket: Path, put: Put, picture: bytes) -> None:
    """The page's table has each thumbnail with its alt text, but not the one that failed."""
    put("thumbnails/sea.png", picture)
    rows = "".join(f"{number},s3://shop@videos/thumbnails/sea.png,The sea at {number}\n" for number in range(10))
    put("thumbnails/pictures.csv", f"name,image,alt\n{rows}".encode())
    emulator.control.inject("generation_failed")

    assert run("thumbnails").state == "success"

    table = list(csv.reader((bucket / "thumbnails" / "thumbnails.csv").read_text().splitlines()))
    assert len(table) == 9
    assert all(row == [row[0], f"s3://videos/thumbnails/{row[0]}.png", f"The sea at {row[0]}"] for row in table)


def test_a_weekly_campaign(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """What the campaign lands triggers the publishing, which knows each file."""
    assert run("weekly_campaign").state == "success"

    published = returned(run("weekly_publishing"), "publish")
    made = {generation["id"] for generation in emulator.control.state()["generations"]}
    assert {uri.split("/")[-2] for uri in published} == made
    assert len(made) == 2


def test_the_credits_run_out(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """Without credits the task gives up at once; after a top-up the next run succeeds."""
    emulator.control.add_credits(-999)
    assert run("credits_run_out").state == "failed"
    assert emulator.control.state()["requests"]["submit"] == 1

    emulator.control.add_credits(999)
    assert run("credits_run_out").state == "success"
    assert emulator.control.state()["requests"]["submit"] == 2


def test_a_recovery(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """What nobody waited for lands, although its run was deleted."""
    fired = run("fire")
    assert fired.state == "success"
    made = returned(fired, "fire")["generation_id"]
    emulator.control.advance(600)

    assert run("recover").state == "success"

    assert names(bucket / "recovered") == [made]


def test_pictures_of_a_bucket(run: Run, emulator: EmulatorHandle, bucket: Path, put: Put, picture: bytes) -> None:
    """Each picture in the bucket becomes a video of the same name."""
    for number in range(3):
        put(f"inbox/view-{number}.png", picture + bytes([number]))

    assert run("bucket_pictures").state == "success"

    assert [name for name in names(bucket / "outbox") if name.endswith(".mp4")] == [f"view-{n}.mp4" for n in range(3)]


def test_first_and_last_frame(run: Run, emulator: EmulatorHandle, media: Path) -> None:
    """Two local pictures become one video."""
    (media / "bud.png").write_bytes(files.whole_png(800, 600))
    (media / "flower.png").write_bytes(files.whole_png(600, 800))

    assert run("first_and_last_frame").state == "success"

    assert len(list((media / "bloom").glob("*/0.mp4"))) == 1


def test_a_talking_head(run: Run, emulator: EmulatorHandle, bucket: Path, put: Put, picture: bytes) -> None:
    """The portrait speaks with the voice that was generated for it."""
    put("portrait.png", picture)

    assert run("talking_head").state == "success"

    [folder] = (bucket / "news").iterdir()
    assert names(folder) == ["news.mp4", "voice.mp3"]


def test_a_loop(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """Drafts are made one after the other, and each is paid for once."""
    result = returned(run("loop"), "drafts")

    assert result["spent"] == pytest.approx(emulator.control.state()["credits"]["charged"])
    assert len(names(bucket / "drafts")) == result["drafts"]


@needs_provider_metadata
def test_a_collection(run: Run, emulator: EmulatorHandle, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's command line lands what is known by its id only."""
    hook = EvoLinkHook()
    request = hook.prepare("z-image-turbo", {"prompt": "A lighthouse"})
    made = hook.submit(request, "submitted-by-hand").generation.id
    emulator.control.advance(600)

    monkeypatch.setenv("PATH", sysconfig.get_path("scripts"), prepend=os.pathsep)
    assert run("collect", ids=[made]).state == "success"

    assert names(bucket / "collected" / made) == ["0.png"]
