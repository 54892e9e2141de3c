# SPDX-License-Identifier: Apache-2.0
"""Downloads: complete, resumed after a cut, and bounded."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import tracemalloc
from pathlib import Path

import pytest

from airflow_provider_evolink.api.errors import (
    LandingError,
    ResultCorruptError,
    ResultExpiredError,
    ResultRefusedError,
)
from airflow_provider_evolink.landing.download import download
from airflow_provider_evolink.landing.download_budget import LIMITS, Limits
from tests.landing.downloading import BODY, LOOPBACK, SIZE_AND_HASH, fetch
from tests.landing.media_server import MediaServer, mp4


def test_whole_file(media: MediaServer) -> None:
    """A file arrives unchanged, with its size, hash and media type, and the request has only the headers it needs."""
    done, data = fetch(media.serve("/a.bin", body=BODY, content_type="application/octet-stream"))
    assert data == BODY
    assert (done.bytes, done.sha256) == SIZE_AND_HASH
    assert done.media_type.content_type == "video/mp4"
    headers = media.requests[0].headers
    assert headers["user-agent"].startswith("airflow-provider-evolink/")
    assert headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "range", "referer"} & set(headers)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_resumes_after_cuts(media: MediaServer, framing: str) -> None:
    """After a cut only the rest is requested, on condition that the file is unchanged."""
    link = media.serve("/a.mp4", body=BODY, framing=framing, faults=[{"cut": 100_000}, {"cut": 50_000}])
    done, data = fetch(link)
    assert (done.bytes, done.sha256) == SIZE_AND_HASH
    assert data == BODY
    assert [(request.range, request.status) for request in media.requests] == [
        (None, 200),
        ("bytes=100000-", 206),
        ("bytes=150000-", 206),
    ]
    assert media.requests[1].headers["if-range"] == '"v1"'


@pytest.mark.parametrize("options", [{"takes_range": False}, {"etag": None}, {"etag": 'W/"weak"'}])
def test_restarts_without_range(media: MediaServer, options: dict[str, object]) -> None:
    """Without Range support, or without a strong validator, an interrupted download restarts."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}], **options)
    done, data = fetch(link)
    assert data == BODY
    assert (done.bytes, done.sha256) == SIZE_AND_HASH
    assert [request.status for request in media.requests] == [200, 200]


def test_last_modified_is_a_validator(media: MediaServer) -> None:
    """Without an ETag, Last-Modified is the condition of a range request."""
    date = "Mon, 23 Nov 2026 10:00:00 GMT"
    link = media.serve("/a.mp4", body=BODY, etag=None, headers={"Last-Modified": date}, faults=[{"cut": 9}])
    assert fetch(link)[0].sha256 == SIZE_AND_HASH[1]
    assert media.requests[1].headers["if-range"] == date


@pytest.mark.parametrize("size", [300_000, 50_000])
def test_changed_file_is_not_mixed(media: MediaServer, size: int) -> None:
    """If the file changes between two attempts, nothing of the old version is kept."""
    other = mp4(size, seed="other")
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].body, media.media["/a.mp4"].etag = other, '"v2"'

    staging_file = io.BytesIO()
    done = download(link, staging_file, LOOPBACK, sleep=change)
    assert staging_file.getvalue() == other
    assert done.sha256 == hashlib.sha256(other).hexdigest()


@pytest.mark.parametrize(
    "content_range", ["bytes 0-299999/300000", "bytes 100000-299999/300001", "bytes */300000", "nonsense"]
)
def test_wrong_range_is_discarded(media: MediaServer, content_range: str) -> None:
    """A 206 with another range than requested is discarded, and the whole file is downloaded again."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"range": content_range}])
    assert fetch(link)[1] == BODY
    assert [request.range for request in media.requests] == [None, "bytes=100000-", None]


def test_short_file_is_incomplete(media: MediaServer) -> None:
    """A file shorter than its Content-Length is never taken for complete."""
    link = media.serve("/a.mp4", body=BODY, takes_range=False, faults=[{"announce": 300_001}] * 9)
    with pytest.raises(LandingError, match=r"\b300000\b.*\b300001\b"):
        fetch(link)
    assert len(media.requests) == LIMITS.max_attempts


def test_file_without_length_is_downloaded_twice(media: MediaServer) -> None:
    """Without a length a cut looks like the end, so two equal responses in a row are needed."""
    link = media.serve("/a.mp4", body=BODY, framing="close", etag=None, faults=[{"cut": 100_000}])
    done, data = fetch(link)
    assert data == BODY
    assert done.sha256 == SIZE_AND_HASH[1]
    assert len(media.requests) == 3


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!DOCTYPE html><title>Just a moment...</title>", "text/html"),
        (b"<html>checking your browser</html>" * 500, "video/mp4"),
        (b'{"error": {"code": "expired"}}', "application/json"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "video/mp4"),
        (b"not found\n", "application/octet-stream"),
        ("<html>".encode("utf-16"), "video/mp4"),
        (b"", "video/mp4"),
        (bytes(range(256)) * 100, "application/zip"),
        (b"PK\x03\x04" + bytes(range(256)) * 100, "application/octet-stream"),
    ],
)
def test_refuses_other_than_media(media: MediaServer, body: bytes, content_type: str) -> None:
    """An error page with HTTP 200, an empty file and mislabeled bytes are refused at once."""
    with pytest.raises(ResultCorruptError) as caught:
        fetch(media.serve("/a.mp4", body=body, content_type=content_type))
    assert content_type in str(caught.value)
    assert repr(body[:24]) in str(caught.value)
    assert len(media.requests) == 1


def test_error_page_is_not_read_to_its_end(media: MediaServer) -> None:
    """A page is recognized by its first bytes, so an endless one is not read on."""
    link = media.serve("/a.mp4", body=b"<html>" * 2000, faults=[{"endless": True}])
    with pytest.raises(ResultCorruptError, match="<html>"):
        fetch(link)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 410, 412, 416, 418, 451, 499])
def test_dead_link(media: MediaServer, status: int) -> None:
    """A link that the host refuses, with whatever status, is reported as dead, without further attempts."""
    link = media.serve("/a.mp4", faults=[{"status": status}])
    with pytest.raises(ResultExpiredError, match=str(status)):
        fetch(link)
    assert len(media.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 404])
def test_link_that_dies_during_the_download(media: MediaServer, status: int) -> None:
    """A link that dies between two attempts is reported as dead."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"status": status}])
    with pytest.raises(ResultExpiredError, match=str(status)):
        fetch(link)
    assert len(media.requests) == 2


def test_range_not_satisfiable_restarts(media: MediaServer) -> None:
    """After 416 to a range request the whole file is requested."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"status": 416}])
    assert fetch(link)[1] == BODY
    assert [request.range for request in media.requests] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("status", [202, 204, 408, 425, 429, 500, 502, 503, 504])
def test_busy_host_is_retried(media: MediaServer, status: int) -> None:
    """A busy host is retried after its Retry-After."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"status": status, "headers": {"Retry-After": "7"}}])
    delays: list[float] = []
    assert fetch(link, delays=delays)[1] == BODY
    assert delays == [7.0]


def test_attempts_are_bounded(media: MediaServer) -> None:
    """A host that stays broken ends the download, after growing delays between the attempts."""
    delays: list[float] = []
    with pytest.raises(LandingError, match=r"\b6 attempts.*HTTP 503"):
        fetch(media.serve("/a.mp4", faults=[{"status": 503}] * 9), delays=delays)
    assert len(delays) == 5
    assert delays == sorted(delays)
    assert 4 <= delays[-1] <= 8


def test_progress_resets_the_attempts(media: MediaServer) -> None:
    """A download that makes progress is not given up, however often it is cut."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 10_000}] * 20)
    assert fetch(link, Limits(max_attempts=2, min_progress=10_000))[1] == BODY
    assert len(media.requests) == 21


def test_silence_counts_as_a_cut(media: MediaServer) -> None:
    """A server that is silent for the read timeout is disconnected and retried."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"silence": 3}])
    assert fetch(link)[1] == BODY
    assert len(media.requests) == 2


def test_slow_transfer_counts_as_a_cut(media: MediaServer) -> None:
    """A server that sends a byte now and then can't hold the task forever."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"pause": 0.02, "chunk": 1}])
    assert fetch(link, Limits(throughput_window=0.2, min_bytes_per_second=10_000))[1] == BODY
    assert media.requests[1].range is not None


@pytest.mark.parametrize("fault", [{"announce": 10_001}, {"endless": True}])
def test_size_is_bounded(media: MediaServer, fault: dict[str, object]) -> None:
    """A file that is too large is refused, whether its length is announced or not."""
    link = media.serve("/a.mp4", body=mp4(9_000), faults=[fault])
    with pytest.raises(ResultCorruptError, match=r"\b10000\b"):
        fetch(link, Limits(max_bytes=10_000))
    assert len(media.requests) == 1


def test_validator_of_the_latest_version_is_used(media: MediaServer) -> None:
    """After the file has changed, its rest is requested with the new version's validator."""
    other = mp4(300_000, seed="other")
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"cut": 50_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].body, media.media["/a.mp4"].etag = other, '"v2"'

    staging_file = io.BytesIO()
    download(link, staging_file, LOOPBACK, sleep=change)
    assert staging_file.getvalue() == other
    requests = [(request.range, request.headers.get("if-range"), request.status) for request in media.requests]
    assert requests == [(None, None, 200), ("bytes=100000-", '"v1"', 200), ("bytes=50000-", '"v2"', 206)]


def test_total_time_is_bounded(media: MediaServer) -> None:
    """A server that is just fast enough but never done is given up when the time for a file is over."""
    now, limits = itertools.count(0, 10), Limits(total_timeout=15, min_bytes_per_second=0)
    link = media.serve("/a.mp4", body=BODY, faults=[{"endless": True}])
    with pytest.raises(LandingError, match=r"\b15 s \([0-9]+ bytes.*slow"):
        download(link, io.BytesIO(), LOOPBACK, limits, clock=lambda: float(next(now)))
    assert len(media.requests) == 1


def test_delays_count_toward_the_total_time(media: MediaServer) -> None:
    """A host that demands a longer delay than the time left is given up."""
    busy = {"status": 503, "headers": {"Retry-After": "100"}}
    delays: list[float] = []
    link = media.serve("/a.mp4", body=BODY, faults=[busy] * 5)
    with pytest.raises(LandingError, match=r"\b250 s .*HTTP 503"):
        download(
            link, io.BytesIO(), LOOPBACK, Limits(total_timeout=250), sleep=delays.append, clock=lambda: sum(delays)
        )
    assert delays == [100.0, 100.0]


def test_unknown_bytes_land_with_a_warning(media: MediaServer, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes of an unknown media type get the server's content type, with a warning that names it."""
    body = bytes(range(255, -1, -1)) * 100
    done, data = fetch(media.serve("/a.mp4", body=body, content_type="video/mp4"))
    assert data == body
    assert (done.media_type.extension, done.media_type.content_type) == ("mp4", "video/mp4")
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "video/mp4" in warning.getMessage()
    assert repr(body[:24]) in warning.getMessage()


@pytest.mark.parametrize("raw", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"])
def test_response_that_is_not_http(media: MediaServer, raw: bytes) -> None:
    """A response that is not HTTP is a failed attempt like any other."""
    assert fetch(media.serve("/a.mp4", body=BODY, faults=[{"raw": raw}]))[1] == BODY


@pytest.mark.parametrize("status", [300, 304])
def test_unexpected_status(media: MediaServer, status: int) -> None:
    """Any other status is an error that names it."""
    with pytest.raises(ResultCorruptError, match=f"HTTP {status}"):
        fetch(media.serve("/a.mp4", faults=[{"status": status}]))


def test_redirects_are_followed_within_bounds(media: MediaServer) -> None:
    """Up to five redirects are followed; a loop is refused."""
    target = media.serve("/final.mp4", body=BODY)
    for number in range(5):
        to = f"/hop{number + 1}" if number < 4 else target
        media.serve(f"/hop{number}", faults=[{"status": 302, "headers": {"Location": to}}])
    assert fetch(f"{media.url}/hop0")[1] == BODY
    media.serve("/loop", faults=[{"status": 307, "headers": {"Location": "/loop"}}] * 9)
    with pytest.raises(ResultRefusedError, match=r"\b5\b"):
        fetch(f"{media.url}/loop")


def test_full_disk(media: MediaServer) -> None:
    """A full disk ends the download and is not taken for a network failure."""

    class FullDisk(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LandingError, match="No space left"):
        download(media.serve("/a.mp4", body=BODY), FullDisk(), LOOPBACK)
    assert len(media.requests) == 1


def test_memory_stays_constant(media: MediaServer, tmp_path: Path) -> None:
    """A large file is downloaded in constant memory."""
    body = mp4(64 * 1024 * 1024)
    link = media.serve("/a.mp4", body=body)
    body_size, digest = len(body), hashlib.sha256(body).hexdigest()
    del body
    with (tmp_path / "file").open("w+b") as staging_file:
        tracemalloc.start()
        done = download(link, staging_file, LOOPBACK)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (done.bytes, done.sha256) == (body_size, digest)
    assert peak < 2 * 1024 * 1024


def test_a_small_file_takes_little_memory(media: MediaServer, tmp_path: Path) -> None:
    """Thousands of small files are landed in a row, several at a time: each takes little more than it has bytes."""
    body = mp4(70_000)
    link = media.serve("/a.mp4", body=body)
    with (tmp_path / "file").open("w+b") as staging_file:
        download(link, staging_file, LOOPBACK)
    with (tmp_path / "another").open("w+b") as staging_file:
        tracemalloc.start()
        done = download(link, staging_file, LOOPBACK)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert done.bytes == len(body)
    assert peak < 400_000
