# SPDX-License-Identifier: Apache-2.0
"""Rendered files, decoded again."""

from __future__ import annotations

import array
import asyncio
import base64
import io
import time

import av
import pytest

from airflow_provider_evolink.emulator.media.artifacts import Artifact, SourceImage, plan_artifacts
from airflow_provider_evolink.emulator.media.render_pool import RenderPool
from airflow_provider_evolink.emulator.media.rendering import RenderCancelledError, image_size, render

I2V = "gemini-omni-flash-image-to-video"


def frames(video: bytes) -> list[av.VideoFrame]:
    """Decode the frames of a video."""
    with av.open(io.BytesIO(video)) as container:
        return [frame.reformat(format="rgb24") for frame in container.decode(video=0)]


def mean_color(frame: av.VideoFrame, left: float, right: float) -> tuple[float, ...]:
    """Return the mean color of the columns between two fractions of the width."""
    plane = frame.planes[0]
    data, stride = bytes(plane), plane.line_size
    first, last = int(frame.width * left) * 3, int(frame.width * right) * 3
    rows = [data[y * stride + first : y * stride + last] for y in range(frame.height)]
    return tuple(sum(sum(row[channel::3]) for row in rows) * 3 / (last - first) / len(rows) for channel in range(3))


def peak_level(media: bytes) -> float:
    """Return the peak audio level, 0 to 1."""
    peak = 0.0
    with av.open(io.BytesIO(media)) as container:
        resampler = av.AudioResampler("flt", "mono")
        for frame in container.decode(audio=0):
            for resampled in resampler.resample(frame):
                samples = array.array("f", bytes(resampled.planes[0])[: resampled.samples * 4])
                peak = max(peak, max(map(abs, samples), default=0.0))
    return peak


def length(media: bytes) -> float:
    """Return the length of a file in seconds."""
    with av.open(io.BytesIO(media)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


@pytest.fixture(scope="module")
def video(picture) -> bytes:
    """A video of 3 s of the red and blue picture."""
    return render(Artifact("video", "mp4", 640, 360, 3.0, picture, 1))


def test_video_has_the_right_streams_and_length(video):
    """A video is an MP4 of h264 and aac, of the requested size and length, that plays while it downloads."""
    with av.open(io.BytesIO(video)) as container:
        assert "mp4" in container.format.name
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        assert (container.streams.video[0].width, container.streams.video[0].height) == (640, 360)
    assert length(video) == pytest.approx(3, abs=0.05)
    assert len(frames(video)) == 72
    assert video.index(b"moov") < video.index(b"mdat")


def test_video_shows_the_picture(video):
    """The first frame has the colors of the picture in the same places."""
    first = frames(video)[0]
    assert mean_color(first, 0.0, 0.4) == pytest.approx((200, 30, 30), abs=12)
    assert mean_color(first, 0.6, 1.0) == pytest.approx((30, 30, 200), abs=12)


def test_video_moves(picture):
    """Frames differ more and more from the first one."""
    textured = render(Artifact("image", "png", 640, 360, 0, None, 5))
    shown = frames(render(Artifact("video", "mp4", 320, 180, 2.0, textured, 1)))
    differences = []
    for frame in (shown[12], shown[24], shown[-1]):
        pairs = zip(bytes(shown[0].planes[0]), bytes(frame.planes[0]), strict=True)
        differences.append(sum(abs(a - b) for a, b in pairs))
    assert 0 < differences[0] < differences[1] < differences[2]


def test_video_is_audible(video):
    """The sound of a video is audible and not clipped."""
    assert 0.1 < peak_level(video) < 0.9


def test_rendering_is_deterministic(video, picture):
    """Rendering again gives identical bytes; another seed gives different ones."""
    assert render(Artifact("video", "mp4", 640, 360, 3.0, picture, 1)) == video
    assert render(Artifact("video", "mp4", 640, 360, 3.0, picture, 2)) != video


@pytest.mark.parametrize(
    ("extension", "codec"), [("mp3", "mp3"), ("wav", "pcm_s16le"), ("m4a", "aac"), ("ogg", "opus")]
)
def test_audio_is_real(extension, codec):
    """Audio has the requested format and length, and is audible."""
    recording = render(Artifact("audio", extension, 0, 0, 2.0, None, 1))
    with av.open(io.BytesIO(recording)) as container:
        assert codec in container.streams.audio[0].codec_context.name
    assert length(recording) == pytest.approx(2, abs=0.1)
    assert 0.1 < peak_level(recording) < 0.9


@pytest.mark.parametrize(("extension", "magic"), [("png", b"\x89PNG"), ("jpg", b"\xff\xd8\xff")])
def test_images_are_real(extension, magic):
    """Images have the requested format and size, and can be decoded."""
    data = render(Artifact("image", extension, 96, 64, 0, None, 1))
    assert data.startswith(magic)
    assert image_size(data) == (96, 64)


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_undecodable_images_have_no_size(data):
    """Bytes that cannot be decoded give None instead of an exception."""
    assert image_size(data) is None


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
def test_videos_have_the_requested_size_and_length(parameters, size, seconds):
    """Ratio and duration follow the request; an open ratio follows the source image."""
    (artifact,) = plan_artifacts("", "video", parameters, SourceImage(b"", (400, 300)))
    assert ((artifact.width, artifact.height), artifact.seconds) == (size, seconds)


@pytest.mark.parametrize(
    ("parameters", "size", "count"),
    [({}, (512, 512), 1), ({"size": "1024x1536", "n": 3}, (1024, 1536), 3), ({"size": "3:2"}, (768, 512), 1)],
)
def test_images_have_the_requested_size_and_number(parameters, size, count):
    """The size and the number of images follow the request."""
    artifacts = plan_artifacts("", "image", parameters, None)
    assert len(artifacts) == count
    assert {(artifact.width, artifact.height) for artifact in artifacts} == {size}


@pytest.mark.parametrize(
    ("audio_format", "extension"), [("mp3", "mp3"), ("wav", "wav"), ("ogg_opus", "ogg"), (None, "mp3")]
)
def test_audio_has_the_requested_format(audio_format, extension):
    """The audio format follows the request."""
    (artifact,) = plan_artifacts("", "audio", {"format": audio_format}, None)
    assert artifact.extension == extension


def test_a_submitted_picture_becomes_a_video(api, picture):
    """The file behind the link of an image-to-video generation shows the submitted picture."""
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    link = api.link(model=I2V, image_urls=[url], duration=3, aspect_ratio="auto")
    response = api.http.get(link)
    assert response.headers["content-type"] == "video/mp4"
    first = frames(response.content)[0]
    assert (first.width, first.height) == (640, 360)
    assert mean_color(first, 0.0, 0.4) == pytest.approx((200, 30, 30), abs=12)


def test_cancelled_rendering_ends_at_once():
    """A cancelled rendering raises instead of finishing its video."""
    with pytest.raises(RenderCancelledError):
        render(Artifact("video", "mp4", 640, 360, 10.0, None, 1), lambda: True)


async def test_files_are_rendered_once_and_off_the_event_loop(tmp_path):
    """Concurrent requests for a file share one rendering, which does not block the event loop."""
    pool = RenderPool(tmp_path)
    artifact = Artifact("video", "mp4", 640, 360, 6.0, None, time.time_ns())
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.create_task(tick())
    files = await asyncio.gather(*(pool.render(artifact, f"{number}.mp4") for number in range(20)))
    ticker.cancel()
    pool.close()
    assert all(file is files[0] for file in files)
    assert ticks > 1  # a blocked loop never ticks; how often a free one does depends on the machine
    assert {path.read_bytes() == files[0] for path in tmp_path.iterdir()} == {True}
