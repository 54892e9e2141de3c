# SPDX-License-Identifier: Apache-2.0
"""Nine jobs as a new user writes them, each run as a whole by ``dag.test()``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from testkit.webhook import WebhookReceiver
from tests.jobs.job_files import Put, Run
from tests.marks import needs_async_tasks
from tests.media import files

pytestmark = pytest.mark.filterwarnings("default")

FRAMES = Path(__file__).parents[1] / "data"
SKUS = [f"mug-{number:02}" for number in range(20)]


@pytest.fixture
def shop(tmp_path: Path, put: Put, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    """A shop of twenty products, each with a picture in the bucket."""
    shop = sqlite3.connect(tmp_path / "shop.db")
    shop.execute("CREATE TABLE products (sku, image, prompt)")
    shop.execute("CREATE TABLE videos (sku, uri, credits)")
    for sku in SKUS:
        put(f"shop/{sku}.png", picture + sku.encode())
        shop.execute(
            "INSERT INTO products VALUES (?, ?, ?)", (sku, f"s3://shop@videos/shop/{sku}.png", f"The {sku} turns")
        )
    shop.commit()
    monkeypatch.setenv("AIRFLOW_VAR_SHOP_DB", str(tmp_path / "shop.db"))
    return shop


def test_products_of_a_table(
    run: Run, emulator: EmulatorHandle, shop: sqlite3.Connection, bucket: Path, put: Put
) -> None:
    """Each product without a video gets one of its name, whose credits are noted; the others cost nothing."""
    there, missing = SKUS[:2], SKUS[2:]
    for sku in there:
        put(f"products/{sku}.mp4", b"a video of last week")

    assert run("product_videos").state == "success"

    noted = shop.execute("SELECT * FROM videos ORDER BY sku").fetchall()
    assert [(sku, uri) for sku, uri, _ in noted] == [(sku, f"s3://videos/products/{sku}.mp4") for sku in missing]
    assert sum(cost for _, _, cost in noted) == pytest.approx(emulator.control.state()["credits"]["charged"])
    assert {path.stem for path in (bucket / "products").glob("*.mp4")} == set(SKUS)

    assert run("product_videos").state == "success"
    assert emulator.control.state()["requests"]["submit"] == len(missing)


def test_text_to_picture_to_video(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """The video is made of the picture, and both land."""
    assert run("picture_to_video", subject="A harbor").state == "success"

    video, picture = emulator.control.state()["generations"][::-1]
    assert picture["prompt"] == "A harbor, watercolor"
    assert [path.name for path in (bucket / "stories" / picture["id"]).iterdir()] == ["0.png"]
    assert [path.name for path in (bucket / "stories" / video["id"]).iterdir()] == ["0.mp4"]


@needs_async_tasks
def test_taskflow(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """Decorated functions and Python code, sync and async: six generations, each paid for once and landed."""
    assert run("taskflow").state == "success"

    assert emulator.control.state()["requests"]["submit"] == 6
    landed = [path for path in (bucket / "films").rglob("*") if path.is_file()]
    assert sorted(path.suffix for path in landed) == [".mp4"] * 5 + [".png"]


@pytest.mark.parametrize(("balance", "spent"), [(2000, 500), (800, 300)], ids=["max_credits", "min_credits_left"])
def test_a_budget(run: Run, emulator: EmulatorHandle, media: Path, balance: int, spent: int) -> None:
    """The job stops before it has spent 500 credits, or before fewer than 500 are left."""
    emulator.control.add_credits(balance - 1000)
    rows = "".join(f"scene-{number},Waves roll in for the {number}th time\n" for number in range(12))
    (media / "prompts.csv").write_text(f"name,prompt\n{rows}")

    assert run("budget").state == "failed"

    made = emulator.control.state()["credits"]["charged"]
    assert spent - 110 < made <= spent
    assert len(list((media / "videos").glob("*/0.mp4"))) == emulator.control.state()["requests"]["submit"]


def test_made_by_hand(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """The sensor waits for what somebody else has submitted; then it lands."""
    hook = EvoLinkHook()
    request = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse"})
    made = hook.submit(request, "submitted-by-hand").generation.id

    assert run("made_by_hand", generation_id=made).state == "success"

    assert (bucket / "by-hand" / made / "0.mp4").stat().st_size
    assert emulator.control.state()["requests"]["submit"] == 1


def test_local_references(run: Run, emulator: EmulatorHandle, media: Path) -> None:
    """Three local pictures become a video, and a local video is edited: each file is uploaded once."""
    for name, source in (("woman.png", "frame.png"), ("hat.jpg", "frame.jpg"), ("table.webp", "frame.webp")):
        copyfile(FRAMES / source, media / name)
    (media / "street.mp4").write_bytes(files.mp4(1280, 720, 5))

    assert run("references").state == "success"

    assert len(emulator.control.state()["uploads"]) == 4
    assert len(list((media / "made").glob("*/0.mp4"))) == 2


def test_music_and_video(run: Run, emulator: EmulatorHandle, bucket: Path) -> None:
    """The songs, their covers and the video land side by side."""
    assert run("music_and_video").state == "success"

    [folder] = (bucket / "clips").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert "video.mp4" in names
    assert any(name.startswith("song-result-") for name in names)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    """The receiver behind the connection ``alerts``."""
    with WebhookReceiver() as receiver:
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS", receiver.connection)
        yield receiver


@pytest.mark.usefixtures("exceptions_for_callbacks")
def test_an_alert(run: Run, emulator: EmulatorHandle, bucket: Path, webhook: WebhookReceiver) -> None:
    """The alert has the generation's id, EvoLink's code, and the credits."""
    emulator.control.inject("generation_failed", code="content_policy_violation")

    assert run("alert").state == "failed"

    [alert] = webhook.received
    [made] = emulator.control.state()["generations"]
    facts: dict[str, Any] = {"generation_id": made["id"], "code": "content_policy_violation", "task": "video"}
    assert facts.items() <= alert.items()
    assert (alert["credits_reserved"], alert["credits_used"]) == (made["reserved"], None)
