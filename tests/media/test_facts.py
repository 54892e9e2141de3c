# SPDX-License-Identifier: Apache-2.0
"""What a media file is, how large and how long, is read from its header."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_evolink.media.facts import MediaFacts, examine, measure
from tests.media import files

DATA = Path(__file__).parent.parent / "data"


class CountingFile(io.BytesIO):
    """Counts what is read."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


def facts_of(data: bytes) -> MediaFacts:
    """Return all that is known about a file."""
    file = io.BytesIO(data)
    return measure(file, examine(file))


@pytest.mark.parametrize("name", files.IMAGES)
def test_the_dimensions_of_images(name: str) -> None:
    """All documented formats are recognized by their content, with their dimensions."""
    facts = facts_of(files.IMAGES[name](640, 360))
    assert (facts.kind, facts.format, facts.width, facts.height) == ("image", name, 640, 360)
    assert facts.content_type == f"image/{name}"


@pytest.mark.parametrize("name", ["png", "jpg", "webp", "gif"])
def test_the_dimensions_of_real_images(name: str) -> None:
    """Images that programs have written are measured too."""
    facts = facts_of((DATA / f"frame.{name}").read_bytes())
    assert (facts.kind, facts.width, facts.height) == ("image", 32, 18)


@pytest.mark.parametrize("index_first", [True, False])
@pytest.mark.parametrize(("brand", "name"), [(b"isom", "mp4"), (b"qt  ", "mov")])
def test_videos(brand: bytes, name: str, index_first: bool) -> None:
    """The dimensions and the duration of a video are found, wherever its index is."""
    facts = facts_of(files.mp4(1280, 720, 12.5, brand=brand, index_first=index_first))
    assert (facts.kind, facts.format) == ("video", name)
    assert (facts.width, facts.height, facts.seconds) == (1280, 720, 12.5)


def test_a_video_that_is_turned() -> None:
    """A video from a telephone counts as it is shown."""
    upright = files.mp4(1280, 720)
    turned = upright.replace(
        b"\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0", b"\0\0\0\0\0\1\0\0\0\0\0\0\xff\xff\0\0\0\0\0\0", 1
    )
    assert turned != upright
    assert (facts_of(turned).width, facts_of(turned).height) == (720, 1280)


def test_a_large_video_is_not_read_as_a_whole() -> None:
    """Of a video whose index is at its end, little more than the index is read."""
    data = files.mp4(seconds=60).replace(bytes(20_000), bytes(20_000_000), 1)
    data = data.replace((20_008).to_bytes(4), (20_000_008).to_bytes(4), 1)
    file = CountingFile(data)
    assert measure(file, examine(file)).seconds == 60
    assert file.read_bytes < 10_000


@pytest.mark.parametrize(("make", "name"), [(files.wav, "wav"), (files.mp3, "mp3"), (files.m4a, "m4a")])
def test_audio_files(make: Callable[[float], bytes], name: str) -> None:
    """The duration of an audio file is read from its header."""
    facts = facts_of(make(12.5))
    assert (facts.kind, facts.format) == ("audio", name)
    assert facts.seconds == pytest.approx(12.5, abs=0.05)


@pytest.mark.parametrize("name", files.OTHERS)
def test_other_files(name: str) -> None:
    """What is no media is described in words."""
    facts = facts_of(files.OTHERS[name])
    assert (facts.kind, facts.format) == (None, None)
    assert facts.description


@pytest.mark.parametrize("make", [*files.IMAGES.values(), *files.VIDEOS.values(), *files.AUDIOS.values()])
def test_damaged_files_are_no_crash(make: Callable[..., bytes]) -> None:
    """A header that is cut short or broken leaves its facts open."""
    data = (
        make(640, 360, 5)[:600]
        if make in files.VIDEOS.values()
        else make(*([640, 360][: 2 if make in files.IMAGES.values() else 1]))
    )
    noise = random.Random(1)
    for length in range(0, len(data), 7):
        assert facts_of(data[:length]).size == length
    for _ in range(200):
        broken = bytearray(data)
        broken[noise.randrange(len(broken))] = noise.randrange(256)
        assert facts_of(bytes(broken)).size == len(data)
