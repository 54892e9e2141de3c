from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from airflow_provider_evolink.landing import unnamed_file
from airflow_provider_evolink.landing.hashing_writer import PIECE_BYTES, HashingWriter


def pour(sink: HashingWriter, data: bytes, step: int) -> None:
    """Fill a sink as a socket would, at most so many bytes at a time."""
    rest = memoryview(data)
    while rest:
        free = sink.free
        count = min(step, len(free), len(rest))
        free[:count] = rest[:count]
        sink.took(count)
        rest = rest[count:]


@pytest.mark.parametrize("step", [1000, 65_536, PIECE_BYTES - 1, PIECE_BYTES, 10 * PIECE_BYTES])
@pytest.mark.parametrize("size", [0, 1000, PIECE_BYTES, 5 * PIECE_BYTES + 17])
def test_every_byte_once_and_in_order(size: int, step: int) -> None:
    """However the bytes come, the spool holds them all, in their order, and the hash is theirs."""
    data, held = os.urandom(size), io.BytesIO()
    with HashingWriter(held) as sink:
        pour(sink, data, step)
        digest = sink.finish()
    assert held.getvalue() == data
    assert digest == hashlib.sha256(data).hexdigest()


def test_settled_is_written() -> None:
    """After settling, all that came is in the spool, and what comes then goes on behind it."""
    held = io.BytesIO()
    with HashingWriter(held) as sink:
        pour(sink, b"one", 9)
        sink.settle()
        assert held.getvalue() == b"one"
        pour(sink, b"two", 9)
        assert sink.finish() == hashlib.sha256(b"onetwo").hexdigest()


def test_restart_forgets() -> None:
    """After a restart neither the spool nor the hash holds anything of before."""
    held = io.BytesIO()
    with HashingWriter(held) as sink:
        pour(sink, bytes(3 * PIECE_BYTES + 1), PIECE_BYTES)
        sink.restart()
        pour(sink, b"new", 9)
        assert sink.finish() == hashlib.sha256(b"new").hexdigest()
    assert held.getvalue() == b"new"


class Full(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


def test_failed_write_is_told() -> None:
    """A write that failed beside the network is raised before anything could be taken for whole."""
    with HashingWriter(Full()) as sink:
        pour(sink, b"a", 9)
        with pytest.raises(OSError, match="No space left"):
            sink.finish()


def test_spool_on_its_way_to_the_disk_is_still_whole(tmp_path: Path) -> None:
    """Pushing a file to the disk while it comes loses nothing of it, even when it is begun again in between."""
    data = os.urandom(9 * 1024 * 1024 + 1)
    with unnamed_file.open_unnamed(str(tmp_path)) as held, HashingWriter(held) as sink:
        pour(sink, data[::-1], 65_536)
        sink.restart()
        pour(sink, data, 65_536)
        assert sink.finish() == hashlib.sha256(data).hexdigest()
        held.seek(0)
        assert held.read() == data
    assert list(tmp_path.iterdir()) == []
