# SPDX-License-Identifier: Apache-2.0
"""Double buffering: every byte is written and hashed once, and no failure of the disk is lost."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from airflow_provider_evolink.landing import unnamed_file
from airflow_provider_evolink.landing.hashing_writer import BUFFER_BYTES, HashingWriter


def fill(writer: HashingWriter, data: bytes, step: int) -> None:
    """Write as a socket would fill the buffers, at most ``step`` bytes at a time."""
    rest = memoryview(data)
    while rest:
        free = writer.free
        count = min(step, len(free), len(rest))
        free[:count] = rest[:count]
        writer.commit(count)
        rest = rest[count:]


@pytest.mark.parametrize("step", [1000, 65_536, BUFFER_BYTES - 1, BUFFER_BYTES, 10 * BUFFER_BYTES])
@pytest.mark.parametrize("size", [0, 1000, BUFFER_BYTES, 5 * BUFFER_BYTES + 17])
def test_every_byte_once_and_in_order(size: int, step: int) -> None:
    """In whatever pieces the bytes arrive, the file and the hash have all of them, in order."""
    data, file = os.urandom(size), io.BytesIO()
    with HashingWriter(file) as writer:
        fill(writer, data, step)
        digest = writer.finish()
    assert file.getvalue() == data
    assert digest == hashlib.sha256(data).hexdigest()


def test_flushed_bytes_are_written() -> None:
    """After a flush everything is in the file, and later bytes follow it."""
    file = io.BytesIO()
    with HashingWriter(file) as writer:
        fill(writer, b"one", 9)
        writer.flush()
        assert file.getvalue() == b"one"
        fill(writer, b"two", 9)
        assert writer.finish() == hashlib.sha256(b"onetwo").hexdigest()


def test_reset_discards_everything() -> None:
    """After a reset neither the file nor the hash has any earlier bytes."""
    file = io.BytesIO()
    with HashingWriter(file) as writer:
        fill(writer, bytes(3 * BUFFER_BYTES + 1), BUFFER_BYTES)
        writer.reset()
        fill(writer, b"new", 9)
        assert writer.finish() == hashlib.sha256(b"new").hexdigest()
    assert file.getvalue() == b"new"


@pytest.mark.parametrize("actual", [0, 99_999, 100_000, 100_001, 500_000])
def test_a_file_of_known_size(actual: int) -> None:
    """Its buffer is no larger than it needs, and nothing is lost if the size was wrong."""
    data, file = os.urandom(actual), io.BytesIO()
    with HashingWriter(file) as writer:
        writer.reset(100_000)
        assert len(writer.free) == 100_001
        fill(writer, data, 70_000)
        assert writer.finish() == hashlib.sha256(data).hexdigest()
        needs_a_thread = writer._thread is not None
    assert file.getvalue() == data
    assert needs_a_thread == (actual > 100_000)


def test_more_than_announced() -> None:
    """What a server sends beyond a tiny announced length does not pass through tiny buffers."""
    with HashingWriter(io.BytesIO()) as writer:
        writer.reset(2)
        assert len(writer.free) >= 65_536


def test_a_large_file_of_known_size() -> None:
    """The buffers of a large file are no larger than those of one whose size is unknown."""
    with HashingWriter(io.BytesIO()) as writer:
        writer.reset(10**12)
        assert len(writer.free) == BUFFER_BYTES


class FullDisk(io.BytesIO):
    """A file on a full disk."""

    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


def test_failed_write_is_raised() -> None:
    """A failed write in the background is raised before the file can be taken for complete."""
    with HashingWriter(FullDisk()) as writer:
        fill(writer, b"a", 9)
        with pytest.raises(OSError, match="No space left"):
            writer.finish()


def test_early_writeback_loses_nothing(tmp_path: Path) -> None:
    """Writing a file to disk while it is downloaded loses nothing, even with a restart in between."""
    data = os.urandom(9 * 1024 * 1024 + 1)
    with unnamed_file.open_unnamed(str(tmp_path)) as file, HashingWriter(file) as writer:
        fill(writer, data[::-1], 65_536)
        writer.reset()
        fill(writer, data, 65_536)
        assert writer.finish() == hashlib.sha256(data).hexdigest()
        file.seek(0)
        assert file.read() == data
    assert list(tmp_path.iterdir()) == []
