# SPDX-License-Identifier: Apache-2.0
"""Draw posters in a process of its own, which a hostile or broken file can end, but nothing else.

``python -m airflow_provider_evolink.posters.drawing.process FD`` takes open files through the socket ``FD``, and
returns a JPEG for each, or why there is none. It ends with the socket. See :mod:`painter`, the other end.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import BinaryIO

import av

from airflow_provider_evolink.posters.drawing import frames, jpeg
from airflow_provider_evolink.posters.drawing.frames import UnsuitableError
from airflow_provider_evolink.posters.drawing.waveform import waveform

# Address space: what FFmpeg itself needs, a few 8K frames, and no more.
MAX_MEMORY = 1024**3
MAX_CORES = 2
# Seconds for one file; the kernel ends the process then, also in the midst of a decoder.
MAX_SECONDS = 20

_VIDEO, _LENGTH_BYTES = b"v", 4
DRAWN, FAILED = b"\x01", b"\x00"


def draw(file: BinaryIO, *, is_video: bool) -> bytes:
    """Draw the poster of a media file, as a JPEG: a contact sheet, a thumbnail, the cover or the waveform.

    :param file: open for reading.
    :param is_video: whether it moves; otherwise it is an image, or audio with or without a cover.
    :raises UnsuitableError, av.FFmpegError: there is none.
    """
    with frames.opened(file) as container:
        if not container.streams.video:
            return jpeg.encode(waveform(container))
        if is_video:
            return jpeg.encode(jpeg.contact_sheet(frames.scenes(container)))
        return jpeg.encode(jpeg.thumbnail(frames.picture(container)))


def _serve(requests: socket.socket) -> None:
    while True:
        kind, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
        if not kind or not descriptors:
            return
        signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
        state, payload = _answer(descriptors[0], is_video=kind == _VIDEO)
        signal.setitimer(signal.ITIMER_REAL, 0)
        requests.sendall(state + len(payload).to_bytes(_LENGTH_BYTES) + payload)


def _answer(descriptor: int, *, is_video: bool) -> tuple[bytes, bytes]:
    try:
        with os.fdopen(descriptor, "rb") as file:
            file.seek(0)
            return DRAWN, draw(file, is_video=is_video)
    except UnsuitableError as error:
        return FAILED, str(error).encode()
    except Exception as error:
        return FAILED, f"it can't be decoded ({type(error).__name__})".encode()


def _limit_resources() -> None:
    for kind, limit in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        # Not every system has each of them.
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))
    if hasattr(os, "sched_setaffinity"):
        # FFmpeg's scaler starts a thread for each core that it sees, and each takes address space.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, random.sample(cores, min(MAX_CORES, len(cores))))
    os.nice(5)


def main(descriptor: int) -> None:
    """Limit this process, and draw what comes in.

    :param descriptor: of the socket.
    """
    av.logging.set_level(None)
    _limit_resources()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with socket.socket(fileno=descriptor) as requests:
        _serve(requests)


if __name__ == "__main__":
    main(int(sys.argv[1]))
