# SPDX-License-Identifier: Apache-2.0
"""Short media files from real encoders."""

from __future__ import annotations

import io
import math
import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import av

RATE = 48_000


# PyAV 13 includes one of them, PyAV 18 the other.
AV1 = next(codec for codec in ("libsvtav1", "libaom-av1") if codec in av.codecs_available)


@cache
def sound(container: str, codec: str, **options: str) -> bytes:
    """Encode one second of a tone."""
    file = io.BytesIO()
    wave = struct.pack(f"<{RATE}h", *(int(8000 * math.sin(step / 20)) for step in range(RATE)))
    with av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame("s16", "mono", RATE)
        frame.sample_rate, frame.pts = RATE, 0
        frame.planes[0].update(wave)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@cache
def pictures(container: str, codec: str, frames: int = 3, **options: str) -> bytes:
    """Encode a short video, or one image."""
    file = io.BytesIO()
    with _unchanged_scheduling(), av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=25, width=64, height=64, pix_fmt="yuv420p")
        for number in range(frames):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([40 * number]) * plane.buffer_size)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@contextmanager
def _unchanged_scheduling() -> Iterator[None]:
    """Undo what SVT-AV1 (4.1, in PyAV 18.1) does as root: whoever opens it becomes a real-time thread.

    So would each thread and process that it starts later, and all others would hardly run.
    """
    try:
        yield
    finally:
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def quiet_pcm(seed: int, samples: int = 4096, *, big: bool = False) -> bytes:
    """Return headerless audio that begins with noise close to silence."""
    dice = random.Random(seed)
    return struct.pack(f"{'>' if big else '<'}{samples}h", *(dice.randint(-3, 3) for _ in range(samples)))
