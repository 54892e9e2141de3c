# SPDX-License-Identifier: Apache-2.0
"""Draw the waveform of an audio file."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence

import av
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from airflow_provider_evolink.posters.drawing.frames import BUDGET, UnsuitableError
from airflow_provider_evolink.posters.drawing.jpeg import SIDE, Lines

_HEIGHT = 120
_RATE = 8000
# Samples for each peak: a fiftieth of a second.
_STEP = _RATE // 50
_INK, _PAPER = b"\x5b\x3f\xd6", b"\xf4\xf2\xfb"


def waveform(container: InputContainer) -> Lines:
    """Return the waveform of a file; of a very long one, its beginning.

    :raises UnsuitableError: it contains no sound that can be decoded.
    """
    if not container.streams.audio:
        raise UnsuitableError("it contains neither a picture nor sound")
    peaks = list(_peaks(container))
    if not peaks:
        raise UnsuitableError("no sound of it can be decoded")
    return _drawn(_columns(peaks))


def _peaks(container: InputContainer) -> Iterator[int]:
    """Yield the loudest sample of each fiftieth of a second, from 0 to 32767."""
    ends, pending = time.process_time() + BUDGET, array("h")
    for samples in _samples(container):
        pending.extend(samples)
        whole = len(pending) // _STEP * _STEP
        for start in range(0, whole, _STEP):
            yield _peak(pending[start : start + _STEP])
        del pending[:whole]
        if time.process_time() > ends:
            return
    if pending:
        yield _peak(pending)


def _peak(samples: array[int]) -> int:
    return min(max(*samples, -min(samples)), 32767)


def _samples(container: InputContainer) -> Iterator[array[int]]:
    resampler = AudioResampler("s16", "mono", _RATE)
    try:
        for frame in container.decode(container.streams.audio[0]):
            for part in resampler.resample(frame):
                yield array("h", bytes(part.planes[0])[: 2 * part.samples])
    except av.FFmpegError:
        # A broken end does not spoil what comes before it.
        return


def _columns(peaks: Sequence[int]) -> list[int]:
    """Return half of the height of each column, in pixels."""
    count = len(peaks)
    parts = [peaks[x * count // SIDE : max((x + 1) * count // SIDE, x * count // SIDE + 1)] for x in range(SIDE)]
    return [max(part) * _HEIGHT // 2 // 32768 + 1 for part in parts]


def _drawn(columns: Sequence[int]) -> Lines:
    half = [b"".join(_INK if height > level else _PAPER for height in columns) for level in range(_HEIGHT // 2)]
    return [*reversed(half), *half]
