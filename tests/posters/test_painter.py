# SPDX-License-Identifier: Apache-2.0
"""What posters show, and what a hostile file can do to the process that draws them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_evolink.posters import painter as painter_module
from airflow_provider_evolink.posters.drawing import process
from airflow_provider_evolink.posters.painter import NoPosterError, Painter
from tests.landing.real_media import AV1, pictures
from tests.posters import media


@pytest.fixture(scope="module")
def shared() -> Iterator[Painter]:
    """A painter whose process stays."""
    with Painter() as painter:
        yield painter


def drawn(painter: Painter, folder: Path, body: bytes, *, is_video: bool = False) -> bytes:
    """Draw the poster of a file."""
    (folder / "file").write_bytes(body)
    with (folder / "file").open("rb") as file:
        return painter.draw(file, is_video=is_video)


@pytest.mark.parametrize("gop", [5, 250])
@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "libx264"), ("webm", "libvpx-vp9"), ("matroska", "mpeg4"), ("mpegts", "libx264")]
)
def test_a_video_becomes_a_sheet_of_four_scenes(
    shared: Painter, tmp_path: Path, container: str, codec: str, gop: int
) -> None:
    """A video's poster shows a frame of each of its quarters, in order, whether or not it has key frames there."""
    sheet = drawn(shared, tmp_path, media.video(container, codec, gop=gop), is_video=True)

    assert len(sheet) < 24_000
    assert [media.is_close(*pair) for pair in zip(media.tiles(sheet), media.COLORS, strict=True)] == [True] * 4


def test_a_vertical_video_stays_vertical(shared: Painter, tmp_path: Path) -> None:
    """The sheet of a vertical video has its proportions."""
    frame = media.decoded(drawn(shared, tmp_path, media.video(size=(180, 320)), is_video=True))

    assert frame.height / frame.width == pytest.approx(320 / 180, rel=0.05)


def test_a_single_frame_fills_the_sheet(shared: Painter, tmp_path: Path) -> None:
    """A video of one frame has a poster too."""
    sheet = drawn(shared, tmp_path, pictures("mp4", "libx264", frames=1), is_video=True)

    assert len(set(media.tiles(sheet))) == 1


def test_a_real_video_takes_about_twenty_kilobytes(shared: Painter, tmp_path: Path) -> None:
    """The sheet of a detailed video stays small enough for a page with many of them."""
    frames = media.image("png", 1280, 720)
    noise = drawn(shared, tmp_path, media.png(1280, 720, b"".join(b"\0" + os.urandom(3840) for _ in range(720))))

    assert len(drawn(shared, tmp_path, frames)) < 24_000
    assert len(noise) < 64_000


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_an_image_becomes_a_thumbnail(shared: Painter, tmp_path: Path, extension: str) -> None:
    """The poster of an image is the image, scaled down."""
    frame = media.decoded(drawn(shared, tmp_path, media.image(extension)))

    assert (frame.width, frame.height) == (480, 360)


def test_an_avif_becomes_a_thumbnail(shared: Painter, tmp_path: Path) -> None:
    """An AVIF image has a poster, and is not enlarged."""
    frame = media.decoded(drawn(shared, tmp_path, pictures("avif", AV1, frames=1)))

    assert (frame.width, frame.height) == (64, 64)


@pytest.mark.parametrize("extension", ["mp3", "wav", "m4a", "ogg"])
def test_sound_becomes_a_waveform(shared: Painter, tmp_path: Path, extension: str) -> None:
    """The poster of audio is wide, with ink in the middle and paper at the edge."""
    frame = media.decoded(drawn(shared, tmp_path, media.sound(extension)))

    assert frame.width == 4 * frame.height
    assert media.is_close(media.color_at(frame, 240, 60), (0x5B, 0x3F, 0xD6))
    assert media.is_close(media.color_at(frame, 240, 2), (0xF4, 0xF2, 0xFB))


def test_a_cover_is_the_poster_of_its_song(shared: Painter, tmp_path: Path) -> None:
    """An audio file with an embedded cover shows that."""
    frame = media.decoded(drawn(shared, tmp_path, media.song_with_cover()))

    assert media.is_close(media.color_at(frame, 32, 32), media.COLORS[0])


def test_a_broken_end_does_not_spoil_the_beginning(shared: Painter, tmp_path: Path) -> None:
    """A video that was cut off still has a poster."""
    body = media.video("matroska", "libx264", gop=5)

    assert media.tiles(drawn(shared, tmp_path, body[: len(body) // 2], is_video=True))[0] != (0, 0, 0)


HOSTILE = {
    "empty": b"",
    "noise": bytes(range(256)) * 100,
    "a header of 600 million pixels": media.png(30_000, 20_000, bytes(10_000_000)),
    "a header of four billion pixels": media.png(65_535, 65_535),
    "a playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/hostname"/></svg>',
    "a header alone": media.video()[:40],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("is_video", [True, False])
def test_a_hostile_file_has_no_poster(shared: Painter, tmp_path: Path, name: str, is_video: bool) -> None:
    """A broken file, a bomb, or a list of other files has no poster, and takes little memory; the next file has one."""
    with pytest.raises(NoPosterError):
        drawn(shared, tmp_path, HOSTILE[name], is_video=is_video)

    assert drawn(shared, tmp_path, media.image("png"))
    assert shared._process is not None
    assert _peak_megabytes(shared._process.pid) < 400


def test_the_process_gets_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process that decodes files from outside does not have the task's environment."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", "secret")
    with Painter() as painter:
        drawn(painter, tmp_path, media.image("png"))
        assert painter._process is not None
        environment = Path(f"/proc/{painter._process.pid}/environ").read_bytes()

    assert b"secret" not in environment
    assert b"AIRFLOW" not in environment


def test_its_memory_time_and_cores_are_limited(tmp_path: Path) -> None:
    """The kernel ends the process if it takes more than a gibibyte, or longer than it may for one file."""
    with Painter() as painter:
        drawn(painter, tmp_path, media.image("png"))
        assert painter._process is not None
        limits = Path(f"/proc/{painter._process.pid}/limits").read_text(encoding="ascii")
        cores = os.sched_getaffinity(painter._process.pid)

    assert len(cores) <= process.MAX_CORES
    assert str(process.MAX_MEMORY) in next(line for line in limits.splitlines() if line.startswith("Max address space"))
    assert process.MAX_SECONDS < painter_module._TIMEOUT_SECONDS


@pytest.mark.parametrize(
    ("draw", "reason"), [("time.sleep(60)", "too much time"), ("bytes(2 * 1024**3)", "MemoryError")]
)
def test_time_and_memory_run_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, draw: str, reason: str) -> None:
    """A file that takes too long ends the process within its time, one that takes too much memory is refused it."""
    (tmp_path / "greedy.py").write_text(
        "import sys, time\n"
        "from airflow_provider_evolink.posters.drawing import process\n"
        "process.MAX_SECONDS = 1\n"
        f"process.draw = lambda file, is_video: {draw}\n"
        "process.main(int(sys.argv[1]))\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(painter_module, "_MODULE", "greedy")
    started = time.monotonic()

    with Painter() as painter, pytest.raises(NoPosterError, match=reason):
        drawn(painter, tmp_path, media.image("png"))
    assert time.monotonic() - started < 30


def test_a_process_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """Should the kernel not end it, the process is killed."""
    with Painter() as painter:
        drawn(painter, tmp_path, media.image("png"))
        stopped = painter._process
        assert stopped is not None
        assert painter._connection is not None
        painter._connection.settimeout(0.5)
        os.kill(stopped.pid, signal.SIGSTOP)
        with pytest.raises(NoPosterError, match="too much time"):
            drawn(painter, tmp_path, media.image("png"))

    assert stopped.returncode == -signal.SIGKILL


def test_another_process_follows_one_that_died(tmp_path: Path) -> None:
    """A file that ends the process has no poster, and the next one has; with the painter, the process ends."""
    with Painter() as painter:
        drawn(painter, tmp_path, media.image("png"))
        dead = painter._process
        assert dead is not None
        os.kill(dead.pid, signal.SIGKILL)
        with pytest.raises(NoPosterError):
            drawn(painter, tmp_path, media.image("png"))
        assert drawn(painter, tmp_path, media.image("png"))
        last = painter._process

    assert last is not None
    assert (dead.returncode, last.returncode) != (None, None)


def test_a_process_that_can_not_start_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If the process ends each time, no more than three are started."""
    monkeypatch.setattr(painter_module, "_MODULE", "no_such_module")
    with Painter() as painter:
        for _ in range(3):
            with pytest.raises(NoPosterError, match="ended the process"):
                drawn(painter, tmp_path, media.image("png"))
        with pytest.raises(NoPosterError, match="not tried any more"):
            drawn(painter, tmp_path, media.image("png"))
        assert painter._process is None


def test_threads_share_one_process(tmp_path: Path) -> None:
    """Several threads get the posters of their own files, drawn by one process."""
    sizes: dict[int, int] = {}

    def draw(number: int) -> None:
        (tmp_path / str(number)).mkdir()
        side = 60 + 20 * number
        sizes[side] = media.decoded(drawn(painter, tmp_path / str(number), media.image("png", side, side))).width

    with Painter() as painter:
        threads = [threading.Thread(target=draw, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(sizes) == 8
    assert all(side == width for side, width in sizes.items())


def _peak_megabytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
