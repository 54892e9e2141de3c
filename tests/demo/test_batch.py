# SPDX-License-Identifier: Apache-2.0
"""What the demo of a batch shows: how far the rows are, and a contact sheet of their videos."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import av
import pytest

from airflow_provider_evolink.emulator.media.artifacts import Artifact
from airflow_provider_evolink.emulator.media.frames import crop_to, decode_image
from airflow_provider_evolink.emulator.media.rendering import render
from demo.batch import Display, counts
from demo.contact_sheet import GAP, HEIGHT, WIDTH, write_contact_sheet
from demo.counts import Counts, pace
from demo.evolink import EvoLink
from demo.png import write_png
from demo.products import COLUMNS, write_products
from demo.screen import Screen


def test_counts_come_from_evolink_and_from_the_folder(tmp_path: Path) -> None:
    """Only a complete file has landed; what is completed without one is about to be landed."""
    statuses = Counter({"pending": 1, "processing": 2, "completed": 3, "failed": 1, "cancelled": 1})
    evolink = EvoLink("EvoLink", "{}", lambda _: None, statuses=lambda: statuses)
    (tmp_path / "a-0.mp4").touch()
    (tmp_path / ".evolink-half.mp4").touch()
    (tmp_path / "manifest.jsonl").touch()

    assert counts(evolink, tmp_path, 10) == Counts(total=10, under_way=3, ended=2, landed=1, failed=2)


def test_counts_before_anything_has_happened(tmp_path: Path) -> None:
    """Without a folder and without generations nothing is under way."""
    evolink = EvoLink("EvoLink", "{}", lambda _: None)

    assert counts(evolink, tmp_path / "none", 10) == Counts(10)


def test_the_pace_is_known_once_a_row_is_done() -> None:
    """It is the number of rows that are done a minute; the end follows from it, and needs no words once it is there."""
    assert pace(Counts(20, under_way=8), 10, 0) == ""
    assert pace(Counts(20, under_way=8, landed=4, failed=1), 10, 0).startswith("30 a minute, the last about ")
    assert pace(Counts(20, landed=19, failed=1), 10, 0) == ""


def test_without_a_terminal_a_batch_prints_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each change, but none for what was shown before, and none before the first submission."""
    monkeypatch.setattr("demo.batch._LINE_SECONDS", 0.0)
    with Screen() as screen, screen.step("Videos") as step:
        display = Display(screen, step)
        for shown in (Counts(4), Counts(4, under_way=4), Counts(4, under_way=4), Counts(4, under_way=3, failed=1)):
            display.show(shown)
        display.show(Counts(4, landed=3, failed=1))

    first, second, third, last = capsys.readouterr().out.splitlines()
    assert first == "0 landed, 4 under way, 0 failed"
    assert second.startswith("0 landed, 3 under way, 1 failed; ")
    assert third == "3 landed, 0 under way, 1 failed"
    assert last.startswith("Videos: 3 landed")


def test_lines_come_at_a_bounded_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """However fast the counts change, there is one line every few seconds."""
    with Screen() as screen, screen.step("Videos") as step:
        display = Display(screen, step)
        for number in range(1, 100):
            display.show(Counts(100, under_way=number))

    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_products_are_a_table_with_pictures(tmp_path: Path) -> None:
    """Each row has a key of its own, a prompt, and a picture beside the table that differs from all others."""
    (tmp_path / "left").mkdir()
    products = write_products(tmp_path, 5)
    rows = list(csv.DictReader(io.StringIO(products.table.read_text(encoding="utf-8"))))

    assert products.count == len(rows) == 5
    assert all(tuple(row) == COLUMNS and all(row.values()) for row in rows)
    assert len({row["sku"] for row in rows}) == 5
    pictures = {(tmp_path / row["image"]).read_bytes() for row in rows}
    assert len(pictures) == 5
    assert {(frame.width, frame.height) for frame in map(decode_image, pictures)} == {(480, 270)}
    assert not (tmp_path / "left").exists()


def test_a_contact_sheet_has_each_video_in_order(tmp_path: Path) -> None:
    """It is one picture with five videos side by side, and a second row for the others."""
    colors = [b"\xff\0\0", b"\0\xff\0", b"\0\0\xff", *3 * [b"\x80\x80\x80"]]
    videos = [_video(tmp_path / f"{number}.mp4", color) for number, color in enumerate(colors)]
    write_contact_sheet(tmp_path / "sheet.png", videos)

    sheet = decode_image((tmp_path / "sheet.png").read_bytes())
    assert (sheet.width, sheet.height) == (5 * (WIDTH + GAP) + GAP, 2 * (HEIGHT + GAP) + GAP)
    middles = [_pixel(sheet, GAP + WIDTH // 2 + column * (WIDTH + GAP), GAP + HEIGHT // 2) for column in range(3)]
    assert [middle.index(max(middle)) for middle in middles] == [0, 1, 2]


def test_a_contact_sheet_shows_the_middle_of_a_video(tmp_path: Path) -> None:
    """The frame is not the first one: the camera has moved towards the picture's middle, away from its white border."""
    video = _video(tmp_path / "0.mp4", b"\xff\0\0")
    write_contact_sheet(tmp_path / "sheet.png", [video])

    sheet = decode_image((tmp_path / "sheet.png").read_bytes())
    with av.open(str(video)) as container:
        first = crop_to(next(container.decode(video=0)), WIDTH, HEIGHT, "rgb24")
    assert 0 < _white(sheet, GAP) < _white(first, 0)


def _video(path: Path, color: bytes) -> Path:
    """Render a video of a colored picture with a white border."""
    border, white = b"\xff" * 3 * 20, b"\xff" * 3 * 320
    picture = path.with_suffix(".png")
    write_png(picture, [*[white] * 20, *[border + color * 280 + border] * 140, *[white] * 20])
    path.write_bytes(render(Artifact("video", "mp4", 320, 180, 2.0, picture.read_bytes(), 0)))
    return path


def _white(frame: av.VideoFrame, start: int) -> int:
    """Count the white pixels from the left edge to the middle."""
    return sum(min(_pixel(frame, start + x, start + HEIGHT // 2)) > 128 for x in range(WIDTH // 2))


def _pixel(frame: av.VideoFrame, x: int, y: int) -> bytes:
    plane = frame.reformat(format="rgb24").planes[0]
    return bytes(plane)[y * plane.line_size + 3 * x :][:3]
