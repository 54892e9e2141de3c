# SPDX-License-Identifier: Apache-2.0
"""Downloads with a content coding that was not requested."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tracemalloc
import zlib
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import LandingError, ResultCorruptError
from airflow_provider_evolink.landing.download import download
from airflow_provider_evolink.landing.download_budget import LIMITS, Limits
from tests.landing.downloading import BODY, LOOPBACK, SIZE_AND_HASH, fetch
from tests.landing.media_server import MediaServer, mp4


@pytest.mark.parametrize(
    "coding", ["aws-chunked", "", "identity", "Identity, AWS-Chunked", " , ", "none", "gzip", "deflate"]
)
def test_coding_that_compresses_nothing_is_ignored(media: MediaServer, coding: str) -> None:
    """If a store names a coding but sends the file uncompressed, the file is kept, resumed or not."""
    link = media.serve("/a.mp4", body=BODY, headers={"Content-Encoding": coding}, faults=[{"cut": 100_000}])
    done, data = fetch(link)
    assert data == BODY
    assert (done.bytes, done.sha256) == SIZE_AND_HASH
    assert [request.range for request in media.requests] == [None, "bytes=100000-"]


def test_coding_that_compresses_nothing_may_change(media: MediaServer) -> None:
    """A file is the same whether or not every response names such a coding."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].headers = {"Content-Encoding": "aws-chunked"}

    staging_file = io.BytesIO()
    download(link, staging_file, LOOPBACK, sleep=change)
    assert staging_file.getvalue() == BODY
    assert [request.range for request in media.requests] == [None, "bytes=100000-"]


def deflated(data: bytes, window: int) -> bytes:
    """Compress with zlib's header (15), gzip's (31) or none (-15)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, window)
    return compressor.compress(data) + compressor.flush()


CONTENT = mp4(1_000_000) + random.Random(7).randbytes(1_000_000)  # compresses well, then not at all
ENCODED = {
    "gzip": gzip.compress(CONTENT),
    "x-gzip": gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:]),
    "GZIP, aws-chunked": gzip.compress(CONTENT) + bytes(300),
    "deflate": deflated(CONTENT, 15),
    "identity, deflate": deflated(CONTENT, -15),
}


@pytest.mark.parametrize("coding", ENCODED)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_compressed_file_is_decoded(media: MediaServer, coding: str, framing: str) -> None:
    """A file that is compressed against the request is stored decoded, with its own size, hash and media type."""
    link = media.serve("/a.mp4", body=ENCODED[coding], headers={"Content-Encoding": coding}, framing=framing)
    done, data = fetch(link)
    assert data == CONTENT
    assert (done.bytes, done.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert done.media_type.extension == "mp4"


def test_compressed_download_is_resumed(media: MediaServer) -> None:
    """Ranges and lengths count the compressed bytes; each byte is sent once."""
    encoded = ENCODED["gzip"]
    cuts = [{"cut": 1}, {"cut": 10_000}, {"cut": 1}]
    link = media.serve("/a.mp4", body=encoded, headers={"Content-Encoding": "gzip"}, faults=cuts)
    assert fetch(link)[1] == CONTENT
    assert [request.range for request in media.requests] == [None, "bytes=1-", "bytes=10001-", "bytes=10002-"]


def test_rest_in_another_coding_is_not_mixed(media: MediaServer) -> None:
    """Uncompressed bytes are not used as the rest of compressed ones."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].headers = {"Content-Encoding": "gzip"}

    staging_file = io.BytesIO()
    download(link, staging_file, LOOPBACK, sleep=change)
    assert staging_file.getvalue() == BODY
    assert [request.range for request in media.requests] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("encoded", [ENCODED["gzip"][:-9], ENCODED["gzip"][:5000] + bytes(50) + ENCODED["gzip"][5050:]])
def test_broken_compression_is_a_failed_attempt(media: MediaServer, encoded: bytes) -> None:
    """Compressed data that is truncated or corrupt is a failed attempt, even at its full length."""
    link = media.serve("/a.mp4", body=encoded, headers={"Content-Encoding": "gzip"})
    with pytest.raises(LandingError, match="compressed"):
        fetch(link)
    assert len(media.requests) == LIMITS.max_attempts


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "x-unheard-of"])
def test_unsupported_compression_is_refused(media: MediaServer, coding: str) -> None:
    """A file in an unsupported coding is not stored as it is; the error names the coding."""
    with pytest.raises(ResultCorruptError, match=coding):
        fetch(media.serve("/a.mp4", headers={"Content-Encoding": coding}))


def test_decompression_bomb_is_bounded(media: MediaServer) -> None:
    """A file that expands to more than is allowed is given up as soon as it does, in constant memory."""
    encoded = gzip.compress(mp4(1000) + bytes(200_000_000), 1)
    link = media.serve("/a.mp4", body=encoded, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        with pytest.raises(ResultCorruptError, match=r"\b50000000\b"), NullFile() as staging_file:
            download(link, staging_file, LOOPBACK, Limits(max_bytes=50_000_000))
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


class NullFile(io.RawIOBase):
    """A file that keeps nothing."""

    def write(self, data: Any, /) -> int:
        return len(data)

    def seek(self, *_: int) -> int:
        return 0

    def truncate(self, *_: int | None) -> int:
        return 0


def test_compressed_error_page_is_refused(media: MediaServer) -> None:
    """An error page is recognized once it is decoded."""
    page = gzip.compress(b"<html><title>Just a moment...</title>")
    with pytest.raises(ResultCorruptError, match="<html>"):
        fetch(media.serve("/a.mp4", body=page, headers={"Content-Encoding": "gzip"}))
