# SPDX-License-Identifier: Apache-2.0
"""The poster beside a landed file: made once, never over anybody's file, and never the reason why a landing fails."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_evolink.landing.checkpoint import Checkpoint, Landed
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.posters.painter import Painter
from airflow_provider_evolink.posters.stamp import shown_file, stamp
from testkit.examples import GENERATION_ID as ID
from testkit.s3 import BUCKET, S3
from tests.landing.media_server import MediaServer, mp4
from tests.landing.publishing import FakeStore, files_in
from tests.posters.media import image, sound, video

VIDEO, OTHER = video(), video(gop=5)
SHA = hashlib.sha256(VIDEO).hexdigest()


@pytest.fixture(scope="module")
def painter() -> Iterator[Painter]:
    """What draws the posters."""
    with Painter() as painter:
        yield painter


def lander(folder: StorageTarget, painter: Painter | None, store: Any = None, **options: Any) -> Lander:
    """Return a lander that names files by their index."""
    return Lander(
        destination=folder,
        pattern="{index}.{ext}",
        network=Network(allow_loopback=True, read_timeout=2),
        checkpoint=Checkpoint(store, timedelta(days=1)),
        renew=lambda _: None,
        painter=painter,
        **options,
    )


def local(folder: Path) -> StorageTarget:
    """Return a folder as a destination."""
    return StorageTarget(LocalFileSystem(), str(folder), "file")


def result(media: MediaServer, body: bytes = VIDEO, generation_id: str = ID, **options: Any) -> Result:
    """Return a result that has this content."""
    return Result(generation_id, 0, media.serve(f"/{generation_id}/{len(body)}", body=body, **options))


def poster_of(landed: Landed | None) -> str | None:
    """Return the poster as the record states it."""
    assert landed is not None
    return landed.entry().get("poster")


@pytest.mark.parametrize(("body", "name"), [(VIDEO, "0.mp4"), (image("png"), "0.png"), (sound("mp3"), "0.mp3")])
def test_a_poster_lies_beside_its_file(
    media: MediaServer, tmp_path: Path, painter: Painter, body: bytes, name: str
) -> None:
    """The record states where the poster is, and the poster which file it shows."""
    landed = lander(local(tmp_path), painter).land(result(media, body))

    assert files_in(tmp_path) == [name, f"{name}.poster.jpg"]
    assert poster_of(landed) == f"file://{tmp_path}/{name}.poster.jpg"
    assert shown_file((tmp_path / f"{name}.poster.jpg").read_bytes()) == hashlib.sha256(body).hexdigest()


def test_without_a_painter_there_are_no_posters(media: MediaServer, tmp_path: Path) -> None:
    """Switched off, or without PyAV, nothing is put beside the file."""
    assert poster_of(lander(local(tmp_path), None).land(result(media))) is None
    assert files_in(tmp_path) == ["0.mp4"]


def test_a_poster_lies_beside_its_object(media: MediaServer, s3: S3, painter: Painter) -> None:
    """On S3 the poster is an object of its own, with a content type that browsers show; a retry finds it."""
    folder = StorageTarget(s3.file_system(), f"{BUCKET}/posters", "s3")
    store = FakeStore()
    landed = lander(folder, painter, store).land(result(media))
    before = folder.fs.info(f"{BUCKET}/posters/0.mp4.poster.jpg")["LastModified"]
    again = lander(folder, painter, store).land(result(media))

    poster = f"{BUCKET}/posters/0.mp4.poster.jpg"
    assert poster_of(landed) == poster_of(again) == f"s3://{poster}"
    assert shown_file(folder.fs.cat_file(poster)) == SHA
    assert (
        folder.fs.call_s3("head_object", Bucket=BUCKET, Key="posters/0.mp4.poster.jpg")["ContentType"] == "image/jpeg"
    )
    assert folder.fs.info(poster)["LastModified"] == before


def test_a_missing_poster_is_drawn_from_where_the_file_is(media: MediaServer, s3: S3, painter: Painter) -> None:
    """A landing that was killed before its poster was there, or had no PyAV, is completed without a download."""
    folder = StorageTarget(s3.file_system(), f"{BUCKET}/late", "s3")
    store = FakeStore()
    lander(folder, None, store).land(result(media))
    media.media.clear()

    assert poster_of(lander(folder, painter, store).land(result(media))) == f"s3://{BUCKET}/late/0.mp4.poster.jpg"
    assert len(media.requests) == 1


@pytest.mark.parametrize("remembers", [True, False])
def test_a_retry_finds_the_poster(media: MediaServer, tmp_path: Path, painter: Painter, remembers: bool) -> None:
    """A poster of the same file is found and left alone, whether or not the task remembers that it has landed."""
    store = FakeStore() if remembers else None
    first = lander(local(tmp_path), painter, store).land(result(media))
    before = (tmp_path / "0.mp4.poster.jpg").stat()
    again = lander(local(tmp_path), painter, store).land(result(media))
    after = (tmp_path / "0.mp4.poster.jpg").stat()

    assert poster_of(first) == poster_of(again) is not None
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("body", [b"a file of mine", image("jpg", 64, 64), stamp(image("jpg", 64, 64), "0" * 64)])
def test_a_file_of_somebody_else_is_left_alone(
    media: MediaServer, tmp_path: Path, painter: Painter, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    """A file, or another landing's poster, that has the poster's name stays; the result lands, with one warning."""
    (tmp_path / "0.mp4.poster.jpg").write_bytes(body)
    with caplog.at_level(logging.WARNING):
        landed = lander(local(tmp_path), painter).land(result(media))

    assert (tmp_path / "0.mp4").read_bytes() == VIDEO
    assert (tmp_path / "0.mp4.poster.jpg").read_bytes() == body
    assert poster_of(landed) is None
    [warning] = caplog.messages
    assert "left alone" in warning


def test_on_existing_replace_replaces_it(media: MediaServer, tmp_path: Path, painter: Painter) -> None:
    """With ``on_existing="replace"`` the poster takes the place of whatever has its name."""
    (tmp_path / "0.mp4.poster.jpg").write_bytes(b"a file of mine")
    landed = lander(local(tmp_path), painter, on_existing=OnExisting.REPLACE).land(result(media))

    assert poster_of(landed) is not None
    assert shown_file((tmp_path / "0.mp4.poster.jpg").read_bytes()) == SHA


def test_a_new_result_of_the_same_task_gets_a_new_poster(media: MediaServer, tmp_path: Path, painter: Painter) -> None:
    """A task that replaces its own file replaces the poster that it has made of it, unless somebody has edited that."""
    store = FakeStore()
    lander(local(tmp_path), painter, store).land(result(media))
    landed = lander(local(tmp_path), painter, store).land(result(media, OTHER, f"{ID}x"))
    assert poster_of(landed) is not None
    assert shown_file((tmp_path / "0.mp4.poster.jpg").read_bytes()) == hashlib.sha256(OTHER).hexdigest()

    edited = (tmp_path / "0.mp4.poster.jpg").read_bytes() + b"edited"
    (tmp_path / "0.mp4.poster.jpg").write_bytes(edited)
    landed = lander(local(tmp_path), painter, store).land(result(media, video(seconds=1), f"{ID}y"))
    assert poster_of(landed) is None
    assert (tmp_path / "0.mp4.poster.jpg").read_bytes() == edited


def test_a_skipped_result_gets_no_poster(media: MediaServer, tmp_path: Path, painter: Painter) -> None:
    """With ``on_existing="skip"``, nothing is put beside a file that is not the result."""
    (tmp_path / "0.mp4").write_bytes(OTHER)

    assert lander(local(tmp_path), painter, on_existing=OnExisting.SKIP).land(result(media)) is None
    assert files_in(tmp_path) == ["0.mp4"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(mp4(5000), "video/mp4"), (b"\xff\xd8\xff" + bytes(500), "image/jpeg"), (b"fLaC" + bytes(9000), "audio/flac")],
)
def test_a_broken_file_lands_without_a_poster(
    media: MediaServer,
    tmp_path: Path,
    painter: Painter,
    caplog: pytest.LogCaptureFixture,
    body: bytes,
    content_type: str,
) -> None:
    """What can't be decoded lands as ever, with one warning that names it."""
    with caplog.at_level(logging.WARNING):
        landed = lander(local(tmp_path), painter).land(result(media, body))

    assert landed is not None
    assert (landed.content_type, poster_of(landed)) == (content_type, None)
    assert len(files_in(tmp_path)) == 1
    [warning] = caplog.messages
    assert files_in(tmp_path)[0] in warning


def test_other_types_land_without_a_word(
    media: MediaServer, tmp_path: Path, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    """A 3D model, or headerless audio, has no poster, and nobody is warned about that."""
    with caplog.at_level(logging.WARNING):
        model = lander(local(tmp_path), painter).land(result(media, b"glTF" + bytes(9000)))
        voice = lander(local(tmp_path), painter).land(
            result(media, os.urandom(9001), headers={"Content-Type": "audio/pcm;rate=24000"})
        )

    assert (poster_of(model), poster_of(voice)) == (None, None)
    assert caplog.messages == []


def test_storage_that_refuses_the_poster_does_not_fail_the_landing(
    media: MediaServer, tmp_path: Path, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    """If the poster can't be written, the file has landed, and a warning says why there is none."""
    (tmp_path / "0.mp4.poster.jpg").mkdir()
    with caplog.at_level(logging.WARNING):
        landed = lander(local(tmp_path), painter, on_existing=OnExisting.REPLACE).land(result(media))

    assert landed is not None
    assert poster_of(landed) is None
    assert (tmp_path / "0.mp4").read_bytes() == VIDEO
    assert len(caplog.messages) == 1


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.landing import test_posters as tests
from airflow_provider_evolink.landing import poster_file, storage
from airflow_provider_evolink.posters.painter import Painter

publish = storage.publish
def stop(): os.kill(os.getpid(), signal.SIGKILL)
def publish_or_stop(file, target, **options):
    is_poster = target.path.endswith(".poster.jpg")
    if is_poster and sys.argv[3] == "before":
        stop()
    publish(file, target, **options)
    if is_poster:
        stop()
storage.publish = publish_or_stop
store = tests.FileStore(Path(sys.argv[2]) / "store.json")
with Painter() as painter:
    folder = tests.local(Path(sys.argv[2]) / "videos")
    tests.lander(folder, painter, store).land(tests.Result(tests.ID, 0, sys.argv[1]))
"""


class FileStore(FakeStore):
    """A task state store that outlives the process."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def get(self, key: str, default: Any = None) -> Any:
        if self.path.exists():
            self.rows[key] = self.path.read_text(encoding="utf-8")
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        super().set(key, value)
        self.path.write_text(self.rows[key], encoding="utf-8")


@pytest.mark.parametrize(("moment", "posters"), [("before", 0), ("after", 1)])
def test_a_kill_around_the_poster_leaves_no_lie(
    media: MediaServer, tmp_path: Path, painter: Painter, moment: str, posters: int
) -> None:
    """Killed with the file there and its poster not, or just there, a retry downloads nothing and has the poster."""
    given = result(media)
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-c", _KILLED, given.link, str(tmp_path), moment]
    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.PIPE)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    videos, store = tmp_path / "videos", FileStore(tmp_path / "store.json")
    assert len(files_in(videos)) == 1 + posters
    entry = next(iter(store.get("evolink_landing").values()))
    assert not entry["has_poster"]

    landed = lander(local(videos), painter, store).land(given)

    assert poster_of(landed) == f"file://{videos}/0.mp4.poster.jpg"
    assert files_in(videos) == ["0.mp4", "0.mp4.poster.jpg"]
    assert shown_file((videos / "0.mp4.poster.jpg").read_bytes()) == SHA
    assert len(media.requests) == 1


def test_the_poster_makes_no_difference_between_entries() -> None:
    """Whether there is a poster is no part of what a checkpoint compares."""
    landed = Landed("file:///a", 1, "", "video/mp4", ID, "mp4")

    assert replace(landed, has_poster=True) == landed
