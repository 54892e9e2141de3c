# SPDX-License-Identifier: Apache-2.0
"""Sources of video and audio frames: FFmpeg filter graphs, run through PyAV.

The camera move is a Ken Burns effect: a slow zoom and pan over a still image.
"""

from __future__ import annotations

import colorsys
import io
import random
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
import av.filter
from av.audio.frame import AudioFrame
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

FRAMES_PER_SECOND = 24
OVERSCAN = 3  # zoom over an image this much larger than the output, so that the camera moves by fractions of a pixel
ZOOM = 0.22
PALETTE_SIZE = 4
CHORDS = ((196.00, 246.94, 293.66), (220.00, 277.18, 329.63), (174.61, 220.00, 261.63), (164.81, 207.65, 246.94))


def decode_image(data: bytes) -> VideoFrame:
    """Decode an image.

    :param data: the encoded image, in any format FFmpeg supports.
    :raises av.FFmpegError: it is not an image.
    """
    with av.open(io.BytesIO(data), "r") as container:
        return next(container.decode(video=0))


def gradient(width: int, height: int, seed: int) -> VideoFrame:
    """Paint a soft gradient, as the background of a generation without a source image.

    :param width: pixels; even.
    :param height: pixels; even.
    :param seed: determines colors and direction.
    """
    colors = ":".join(f"c{number}={color}" for number, color in enumerate(_palette(seed)))
    options = f"s={width}x{height}:seed={seed % 2**31}:type=linear:nb_colors={PALETTE_SIZE}:{colors}"
    graph = av.filter.Graph()
    _link(graph.add("gradients", options), graph.add("format", "rgb24"), graph.add("buffersink"))
    graph.configure()
    return graph.vpull()


def crop_to(frame: VideoFrame, width: int, height: int, pixel_format: str) -> VideoFrame:
    """Scale an image to cover a size, and crop it to its center.

    :param frame: the image.
    :param width: pixels; even.
    :param height: pixels; even.
    :param pixel_format: FFmpeg's name of the pixel format.
    """
    graph = av.filter.Graph()
    nodes = [_source(graph, frame), *_cover(graph, width, height), graph.add("format", pixel_format)]
    _link(*nodes, graph.add("buffersink"))
    return next(_run(graph, frame))


def camera_move(frame: VideoFrame, width: int, height: int, seconds: float, seed: int) -> Iterator[VideoFrame]:
    """Yield the frames of a slow zoom and pan over an image.

    :param frame: the image.
    :param width: pixels of the video; even.
    :param height: pixels of the video; even.
    :param seconds: length of the video.
    :param seed: determines where the move ends.
    """
    count = round(seconds * FRAMES_PER_SECOND)
    ease = f"(1-cos(PI*on/{count}))/2"
    towards_x, towards_y = (round(random.Random(f"{seed}{axis}").uniform(0.2, 0.8), 3) for axis in "xy")
    zoompan = (
        f"z='1+{ZOOM}*{ease}':x='(iw-iw/zoom)*{towards_x}':y='(ih-ih/zoom)*{towards_y}'"
        f":d={count}:s={width}x{height}:fps={FRAMES_PER_SECOND}"
    )
    graph = av.filter.Graph()
    nodes = [_source(graph, frame), *_cover(graph, width * OVERSCAN, height * OVERSCAN)]
    _link(*nodes, graph.add("zoompan", zoompan), graph.add("format", "yuv420p"), graph.add("buffersink"))
    for number, output in enumerate(_run(graph, frame)):
        output.pts, output.time_base, output.pict_type = number, Fraction(1, FRAMES_PER_SECOND), 0
        yield output


def chord(seconds: float, seed: int, sample_rate: int) -> Iterator[AudioFrame]:
    """Yield the frames of a soft stereo chord that fades in and out.

    :param seconds: length.
    :param seed: determines the chord.
    :param sample_rate: samples per second.
    """
    tones = CHORDS[seed % len(CHORDS)]
    left, right = (
        "(" + "+".join(f"0.13*sin(2*PI*{tone}*t)" for tone in tones) + f")*(0.7+0.3*sin(2*PI*0.35*t+{phase}))"
        for phase in (0, 1.2)
    )
    graph = av.filter.Graph()
    samples = f"exprs='{left}|{right}':c=stereo:s={sample_rate}:d={seconds}"
    fades = (f"t=in:d={seconds / 8}", f"t=out:st={seconds * 7 / 8}:d={seconds / 8}")
    nodes = [graph.add("aevalsrc", samples), *(graph.add("afade", fade) for fade in fades)]
    _link(*nodes, graph.add("aformat", "sample_fmts=fltp"), graph.add("abuffersink"))
    graph.configure()
    return cast(Iterator[AudioFrame], _pull(graph))


def _palette(seed: int) -> list[str]:
    # The colors that the filter picks itself do not depend on its seed.
    first = random.Random(seed).random()
    hues = [(first + 0.11 * step) % 1 for step in range(PALETTE_SIZE)]
    shades = [colorsys.hsv_to_rgb(hue, 0.55, 0.45 + 0.15 * step) for step, hue in enumerate(hues)]
    return ["0x" + "".join(f"{round(255 * part):02x}" for part in shade) for shade in shades]


def _source(graph: av.filter.Graph, frame: VideoFrame) -> FilterContext:
    rate = Fraction(1, FRAMES_PER_SECOND)
    return graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=rate)


def _cover(graph: av.filter.Graph, width: int, height: int) -> list[FilterContext]:
    scale = f"{width}:{height}:force_original_aspect_ratio=increase:flags=bicubic"
    return [graph.add("scale", scale), graph.add("crop", f"{width}:{height}"), graph.add("setsar", "1")]


def _link(*nodes: FilterContext) -> None:
    for here, there in pairwise(nodes):
        here.link_to(there)


def _run(graph: av.filter.Graph, frame: VideoFrame) -> Iterator[VideoFrame]:
    graph.configure()
    frame.pts, frame.time_base = 0, Fraction(1, FRAMES_PER_SECOND)
    graph.vpush(frame)
    graph.vpush(None)
    return cast(Iterator[VideoFrame], _pull(graph))


def _pull(graph: av.filter.Graph) -> Iterator[VideoFrame | AudioFrame]:
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):  # the graph is drained
            return
