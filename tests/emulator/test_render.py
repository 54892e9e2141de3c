# SPDX-License-Identifier: Apache-2.0
"""What generations deliver, decoded again."""

from __future__ import annotations

import array
import asyncio
import base64
import io
import time

import av
import pytest

from airflow_provider_evolink.emulator.artifacts import Artifact, Picture, plan
from airflow_provider_evolink.emulator.render import RenderingStoppedError, picture_size, render
from airflow_provider_evolink.emulator.studio import Studio

I2V = "gemini-omni-flash-image-to-video"


def frames(film: bytes) -> list[av.VideoFrame]:
    """Decode the pictures of a film."""
    with av.open(io.BytesIO(film)) as container:
        return [frame.reformat(format="rgb24") for frame in container.decode(video=0)]


def average(frame: av.VideoFrame, left: float, right: float) -> tuple[float, ...]:
    """Return the mean colour of the columns between two shares of the width."""
    plane = frame.planes[0]
    data, stride = bytes(plane), plane.line_size
    first, last = int(frame.width * left) * 3, int(frame.width * right) * 3
    rows = [data[y * stride + first : y * stride + last] for y in range(frame.height)]
    return tuple(sum(sum(row[channel::3]) for row in rows) * 3 / (last - first) / len(rows) for channel in range(3))


def loudest(media: bytes) -> float:
    """Return the peak of the sound, 0 to 1."""
    peak = 0.0
    with av.open(io.BytesIO(media)) as container:
        resampler = av.AudioResampler("flt", "mono")
        for frame in container.decode(audio=0):
            for resampled in resampler.resample(frame):
                samples = array.array("f", bytes(resampled.planes[0])[: resampled.samples * 4])
                peak = max(peak, max(map(abs, samples), default=0.0))
    return peak


def length(media: bytes) -> float:
    """Return the seconds that a file lasts."""
    with av.open(io.BytesIO(media)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


@pytest.fixture(scope="module")
def film(picture) -> bytes:
    """A film of 3 s of the red and blue picture."""
    return render(Artifact("video", "mp4", 640, 360, 3.0, picture, 1))


def test_film_has_the_right_streams_and_length(film):
    """It is an MP4 of h264 and aac, as long and as large as asked for, that can be played while it loads."""
    with av.open(io.BytesIO(film)) as container:
        assert "mp4" in container.format.name
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        assert (container.streams.video[0].width, container.streams.video[0].height) == (640, 360)
    assert length(film) == pytest.approx(3, abs=0.05)
    assert len(frames(film)) == 72
    assert film.index(b"moov") < film.index(b"mdat")


def test_film_shows_the_picture(film):
    """The first frame has the picture's colours where the picture has them."""
    first = frames(film)[0]
    assert average(first, 0.0, 0.4) == pytest.approx((200, 30, 30), abs=12)
    assert average(first, 0.6, 1.0) == pytest.approx((30, 30, 200), abs=12)


def test_film_moves(picture):
    """Frames differ more and more from the first one."""
    marked = render(Artifact("image", "png", 640, 360, 0, None, 5))
    shots = frames(render(Artifact("video", "mp4", 320, 180, 2.0, marked, 1)))
    differences = []
    for shot in (shots[12], shots[24], shots[-1]):
        pairs = zip(bytes(shots[0].planes[0]), bytes(shot.planes[0]), strict=True)
        differences.append(sum(abs(a - b) for a, b in pairs))
    assert 0 < differences[0] < differences[1] < differences[2]


def test_film_can_be_heard(film):
    """The sound is loud enough to be heard, and not distorted."""
    assert 0.1 < loudest(film) < 0.9


def test_same_request_gives_the_same_bytes(film, picture):
    """Rendering again gives identical bytes; another prompt gives others."""
    assert render(Artifact("video", "mp4", 640, 360, 3.0, picture, 1)) == film
    assert render(Artifact("video", "mp4", 640, 360, 3.0, picture, 2)) != film


@pytest.mark.parametrize(
    ("extension", "codec"), [("mp3", "mp3"), ("wav", "pcm_s16le"), ("m4a", "aac"), ("ogg", "opus")]
)
def test_recordings_are_real(extension, codec):
    """Audio comes in the format asked for, as long as asked for, and can be heard."""
    recording = render(Artifact("audio", extension, 0, 0, 2.0, None, 1))
    with av.open(io.BytesIO(recording)) as container:
        assert codec in container.streams.audio[0].codec_context.name
    assert length(recording) == pytest.approx(2, abs=0.1)
    assert 0.1 < loudest(recording) < 0.9


@pytest.mark.parametrize(("extension", "magic"), [("png", b"\x89PNG"), ("jpg", b"\xff\xd8\xff")])
def test_pictures_are_real(extension, magic):
    """Images come in the format and size asked for, and can be decoded."""
    data = render(Artifact("image", extension, 96, 64, 0, None, 1))
    assert data.startswith(magic)
    assert picture_size(data) == (96, 64)


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_has_no_size(data):
    """Undecodable bytes are told from pictures, without an exception."""
    assert picture_size(data) is None


@pytest.mark.parametrize(
    ("parameters", "size", "seconds"),
    [
        ({"aspect_ratio": "16:9", "duration": 10}, (640, 360), 10),
        ({"aspect_ratio": "9:16", "duration": "auto"}, (360, 640), 5),
        ({"aspect_ratio": "auto", "duration": 3}, (480, 360), 3),
        ({"aspect_ratio": "adaptive"}, (480, 360), 5),
        ({"aspect_ratio": "720x1280", "duration": -1}, (360, 640), 5),
        ({"aspect_ratio": "21:9"}, (840, 360), 5),
    ],
)
def test_films_have_the_size_and_length_asked_for(parameters, size, seconds):
    """Ratio and duration follow the request; what is left open follows the picture."""
    (artifact,) = plan("video", parameters, Picture(b"", (400, 300)))
    assert ((artifact.width, artifact.height), artifact.seconds) == (size, seconds)


@pytest.mark.parametrize(
    ("parameters", "size", "count"),
    [({}, (512, 512), 1), ({"size": "1024x1536", "n": 3}, (1024, 1536), 3), ({"size": "3:2"}, (768, 512), 1)],
)
def test_images_have_the_size_and_number_asked_for(parameters, size, count):
    """Size and n follow the request."""
    artifacts = plan("image", parameters, None)
    assert len(artifacts) == count
    assert {(artifact.width, artifact.height) for artifact in artifacts} == {size}


@pytest.mark.parametrize(("asked", "extension"), [("mp3", "mp3"), ("wav", "wav"), ("ogg_opus", "ogg"), (None, "mp3")])
def test_recordings_have_the_format_asked_for(asked, extension):
    """The format follows the request."""
    (artifact,) = plan("audio", {"format": asked}, None)
    assert artifact.extension == extension


def test_film_of_an_uploaded_picture_is_downloaded(api, picture):
    """From the request with a picture to the file behind the link: the film is made from that picture."""
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    link = api.link(model=I2V, image_urls=[url], duration=3, aspect_ratio="auto")
    response = api.http.get(link)
    assert response.headers["content-type"] == "video/mp4"
    shot = frames(response.content)[0]
    assert (shot.width, shot.height) == (640, 360)
    assert average(shot, 0.0, 0.4) == pytest.approx((200, 30, 30), abs=12)


def test_stopped_rendering_ends_at_once():
    """A studio that closes does not finish its films."""
    with pytest.raises(RenderingStoppedError):
        render(Artifact("video", "mp4", 640, 360, 10.0, None, 1), lambda: True)


async def test_files_are_rendered_once_and_off_the_loop(tmp_path):
    """Many who ask for the same file at once share one rendering, and the event loop stays free meanwhile."""
    studio = Studio(tmp_path)
    artifact = Artifact("video", "mp4", 640, 360, 6.0, None, time.time_ns())
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.create_task(tick())
    files = await asyncio.gather(*(studio.deliver(artifact, f"{number}.mp4") for number in range(20)))
    ticker.cancel()
    studio.close()
    assert all(file is files[0] for file in files)
    assert ticks > 1  # a loop that is held ticks not at all; how often a free one does depends on the machine
    assert {path.read_bytes() == files[0] for path in tmp_path.iterdir()} == {True}
