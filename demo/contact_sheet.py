# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: one picture made of a frame of each video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av

from airflow_provider_evolink.emulator.media.frames import crop_to
from demo.png import write_png

COLUMNS = 5
WIDTH, HEIGHT, GAP = 256, 144, 8
_PAPER = b"\xf4\xf4\xf2"

Image = Sequence[bytes]


def write_contact_sheet(path: Path, videos: Sequence[Path]) -> None:
    """Decode the middle frame of each video, and write them as one PNG, in rows of five.

    :param videos: at least one.
    """
    frames = [_middle_frame(video) for video in videos]
    rows = [frames[start : start + COLUMNS] for start in range(0, len(frames), COLUMNS)]
    gap = [_PAPER * (min(len(frames), COLUMNS) * (WIDTH + GAP) + GAP)] * GAP
    write_png(path, [*gap, *(line for row in rows for line in (*_beside(row, len(gap[0])), *gap))])


def _beside(frames: Sequence[Image], width: int) -> Image:
    """Put frames next to each other, with gaps around them."""
    gap = _PAPER * GAP
    lines = [gap + b"".join(line + gap for line in lines) for lines in zip(*frames, strict=True)]
    return [line + _PAPER * ((width - len(line)) // 3) for line in lines]


def _middle_frame(video: Path) -> Image:
    with av.open(str(video)) as container:
        middle = (container.duration or 0) / 2 / av.time_base
        # Not by seeking: the only key frame of a short video is its first.
        decoded = next(frame for frame in container.decode(video=0) if frame.time >= middle)
        frame = crop_to(decoded, WIDTH, HEIGHT, "rgb24")
    plane = frame.planes[0]
    pixels = bytes(plane)
    return [pixels[start : start + 3 * WIDTH] for start in range(0, HEIGHT * plane.line_size, plane.line_size)]
