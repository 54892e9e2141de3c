from __future__ import annotations

import errno
import gzip
import hashlib
import io
import itertools
import random
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from media_server import MediaServer, mp4

from airflow_provider_evolink.api.errors import (
    LandingError,
    ResultCorruptError,
    ResultExpiredError,
    ResultRefusedError,
)
from airflow_provider_evolink.landing.download import LIMITS, Download, Limits, download
from airflow_provider_evolink.landing.safe_http import Network

HERE = Network(allow_loopback=True, connect_timeout=2, read_timeout=1)
BODY = mp4(300_000)
WHOLE = (len(BODY), hashlib.sha256(BODY).hexdigest())


def fetch(link: str, limits: Limits = LIMITS, waits: list[float] | None = None) -> tuple[Download, bytes]:
    """Download into memory, noting the waits instead of waiting."""
    spool = io.BytesIO()
    done = download(link, spool, HERE, limits, sleep=(waits if waits is not None else []).append)
    return done, spool.getvalue()


def test_whole_file(media: MediaServer) -> None:
    """A file comes as it is, with its size, hash and kind, and only what is needed is asked for."""
    done, data = fetch(media.serve("/a.bin", body=BODY, content_type="application/octet-stream"))
    assert data == BODY
    assert (done.bytes, done.sha256) == WHOLE
    assert done.media_type.content_type == "video/mp4"
    sent = media.seen[0].headers
    assert sent["user-agent"].startswith("airflow-provider-evolink/")
    assert sent["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "range", "referer"} & set(sent)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_resumes_after_cuts(media: MediaServer, framing: str) -> None:
    """After a cut only the rest is asked for, under the condition that the file is still the same."""
    link = media.serve("/a.mp4", body=BODY, framing=framing, faults=[{"cut": 100_000}, {"cut": 50_000}])
    done, data = fetch(link)
    assert (done.bytes, done.sha256) == WHOLE
    assert data == BODY
    assert [(seen.range, seen.status) for seen in media.seen] == [
        (None, 200),
        ("bytes=100000-", 206),
        ("bytes=150000-", 206),
    ]
    assert media.seen[1].headers["if-range"] == '"v1"'


@pytest.mark.parametrize("how", [{"takes_range": False}, {"etag": None}, {"etag": 'W/"weak"'}])
def test_begins_again_without_range(media: MediaServer, how: dict[str, object]) -> None:
    """Without Range, or without a way to know that the file is the same, a cut download begins again."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}], **how)
    done, data = fetch(link)
    assert data == BODY
    assert (done.bytes, done.sha256) == WHOLE
    assert [seen.status for seen in media.seen] == [200, 200]


def test_last_modified_is_a_validator(media: MediaServer) -> None:
    """A server without ETag but with Last-Modified is asked for the rest under that condition."""
    date = "Mon, 23 Nov 2026 10:00:00 GMT"
    link = media.serve("/a.mp4", body=BODY, etag=None, headers={"Last-Modified": date}, faults=[{"cut": 9}])
    assert fetch(link)[0].sha256 == WHOLE[1]
    assert media.seen[1].headers["if-range"] == date


@pytest.mark.parametrize("size", [300_000, 50_000])
def test_file_that_changed_is_not_mixed(media: MediaServer, size: int) -> None:
    """If the file changed between two tries, nothing of the old one is kept."""
    other = mp4(size, seed="other")
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].body, media.media["/a.mp4"].etag = other, '"v2"'

    spool = io.BytesIO()
    done = download(link, spool, HERE, sleep=change)
    assert spool.getvalue() == other
    assert done.sha256 == hashlib.sha256(other).hexdigest()


@pytest.mark.parametrize("lie", ["bytes 0-299999/300000", "bytes 100000-299999/300001", "bytes */300000", "nonsense"])
def test_rest_that_does_not_fit(media: MediaServer, lie: str) -> None:
    """A 206 whose range is not the one asked for is thrown away, and the whole is fetched again."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"range": lie}])
    assert fetch(link)[1] == BODY
    assert [seen.range for seen in media.seen] == [None, "bytes=100000-", None]


def test_announced_length_is_a_promise(media: MediaServer) -> None:
    """A file shorter than its Content-Length is never taken for whole."""
    link = media.serve("/a.mp4", body=BODY, takes_range=False, faults=[{"announce": 300_001}] * 9)
    with pytest.raises(LandingError, match="300000 of 300001 bytes"):
        fetch(link)
    assert len(media.seen) == LIMITS.tries


def test_no_length_is_fetched_twice(media: MediaServer) -> None:
    """Without a length a cut looks like the end, so only two equal answers in a row are believed."""
    link = media.serve("/a.mp4", body=BODY, framing="close", etag=None, faults=[{"cut": 100_000}])
    done, data = fetch(link)
    assert data == BODY
    assert done.sha256 == WHOLE[1]
    assert len(media.seen) == 3


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
def test_refuses_what_is_no_media(media: MediaServer, body: bytes, content_type: str) -> None:
    """An error page that comes with HTTP 200, an empty file and mislabelled bytes are refused at once."""
    with pytest.raises(ResultCorruptError, match="no media"):
        fetch(media.serve("/a.mp4", body=body, content_type=content_type))
    assert len(media.seen) == 1


def test_error_page_is_not_read_to_its_end(media: MediaServer) -> None:
    """A page is recognised by its beginning, so one without an end costs nothing."""
    link = media.serve("/a.mp4", body=b"<html>" * 2000, faults=[{"endless": True}])
    with pytest.raises(ResultCorruptError, match="no media"):
        fetch(link)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 410, 412, 416, 418, 451, 499])
def test_dead_link(media: MediaServer, status: int) -> None:
    """A link that the host refuses, in whatever words, is reported as dead, without further tries."""
    link = media.serve("/a.mp4", faults=[{"status": status}])
    with pytest.raises(ResultExpiredError, match=str(status)):
        fetch(link)
    assert len(media.seen) == 1


@pytest.mark.parametrize("status", [400, 403, 404])
def test_link_that_dies_on_the_way(media: MediaServer, status: int) -> None:
    """A link that dies between two tries is as dead as one that never lived."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"status": status}])
    with pytest.raises(ResultExpiredError, match=str(status)):
        fetch(link)
    assert len(media.seen) == 2


def test_rest_that_is_not_there(media: MediaServer) -> None:
    """A server that has no such rest is asked for the whole, and is dead only if it has not that either."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"status": 416}])
    assert fetch(link)[1] == BODY
    assert [seen.range for seen in media.seen] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("status", [202, 204, 408, 425, 429, 500, 502, 503, 504])
def test_waits_out_a_busy_host(media: MediaServer, status: int) -> None:
    """A host that is busy is asked again, after the time it names if it names one."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"status": status, "headers": {"Retry-After": "7"}}])
    waits: list[float] = []
    assert fetch(link, waits=waits)[1] == BODY
    assert waits == [7.0]


def test_gives_up_after_bounded_tries(media: MediaServer) -> None:
    """A host that stays broken ends the landing, with growing waits between the tries."""
    waits: list[float] = []
    with pytest.raises(LandingError, match="6 tries in a row: the server answered HTTP 503"):
        fetch(media.serve("/a.mp4", faults=[{"status": 503}] * 9), waits=waits)
    assert len(waits) == 5
    assert waits == sorted(waits)
    assert 4 <= waits[-1] <= 8


def test_progress_renews_patience(media: MediaServer) -> None:
    """A download that moves on is not given up, however often it is cut."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 10_000}] * 20)
    assert fetch(link, Limits(tries=2, progress=10_000))[1] == BODY
    assert len(media.seen) == 21


def test_silence_counts_as_a_cut(media: MediaServer) -> None:
    """A server that says nothing for the read timeout is left, and asked again."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"silence": 3}])
    assert fetch(link)[1] == BODY
    assert len(media.seen) == 2


def test_drip_counts_as_a_cut(media: MediaServer) -> None:
    """A server that sends a byte now and then can't hold the task for ever."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"pause": 0.02, "chunk": 1}])
    assert fetch(link, Limits(window=0.2, slowest=10_000))[1] == BODY
    assert media.seen[1].range is not None


@pytest.mark.parametrize("fault", [{"announce": 10_001}, {"endless": True}])
def test_size_is_bounded(media: MediaServer, fault: dict[str, object]) -> None:
    """Neither an announced nor an unannounced flood is taken."""
    link = media.serve("/a.mp4", body=mp4(9_000), faults=[fault])
    with pytest.raises(ResultCorruptError, match="10000 are allowed"):
        fetch(link, Limits(max_bytes=10_000))
    assert len(media.seen) == 1


@pytest.mark.parametrize(
    "coding", ["aws-chunked", "", "identity", "Identity, AWS-Chunked", " , ", "none", "gzip", "deflate"]
)
def test_a_coding_that_compresses_nothing_is_ignored(media: MediaServer, coding: str) -> None:
    """A store that names a coding and sends the file as it is has sent the file, resumed or not."""
    link = media.serve("/a.mp4", body=BODY, headers={"Content-Encoding": coding}, faults=[{"cut": 100_000}])
    done, data = fetch(link)
    assert data == BODY
    assert (done.bytes, done.sha256) == WHOLE
    assert [seen.range for seen in media.seen] == [None, "bytes=100000-"]


def test_a_coding_that_compresses_nothing_may_come_and_go(media: MediaServer) -> None:
    """Whether a store names it in every answer makes no difference."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].headers = {"Content-Encoding": "aws-chunked"}

    spool = io.BytesIO()
    download(link, spool, HERE, sleep=change)
    assert spool.getvalue() == BODY
    assert [seen.range for seen in media.seen] == [None, "bytes=100000-"]


def deflated(data: bytes, window: int) -> bytes:
    """Compress with a header of zlib's own, of gzip's (31) or without any (-15)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(data) + packer.flush()


TEXTURE = mp4(1_000_000) + random.Random(7).randbytes(1_000_000)  # packs well, and then not at all
CODED = {
    "gzip": gzip.compress(TEXTURE),
    "x-gzip": gzip.compress(TEXTURE[:1000]) + gzip.compress(TEXTURE[1000:]),
    "GZIP, aws-chunked": gzip.compress(TEXTURE) + bytes(300),
    "deflate": deflated(TEXTURE, 15),
    "identity, deflate": deflated(TEXTURE, -15),
}


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_what_is_sent_compressed_is_unpacked(media: MediaServer, coding: str, framing: str) -> None:
    """A file that is packed against our wish is kept as it was meant: its own size, hash and kind."""
    link = media.serve("/a.mp4", body=CODED[coding], headers={"Content-Encoding": coding}, framing=framing)
    done, data = fetch(link)
    assert data == TEXTURE
    assert (done.bytes, done.sha256) == (len(TEXTURE), hashlib.sha256(TEXTURE).hexdigest())
    assert done.media_type.extension == "mp4"


def test_compressed_download_is_resumed_where_it_was_cut(media: MediaServer) -> None:
    """Ranges and lengths are those of the bytes as they are sent; each byte is fetched once."""
    packed = CODED["gzip"]
    cuts = [{"cut": 1}, {"cut": 10_000}, {"cut": 1}]
    fetch_it = media.serve("/a.mp4", body=packed, headers={"Content-Encoding": "gzip"}, faults=cuts)
    assert fetch(fetch_it)[1] == TEXTURE
    assert [seen.range for seen in media.seen] == [None, "bytes=1-", "bytes=10001-", "bytes=10002-"]


def test_a_rest_in_another_coding_is_not_mixed(media: MediaServer) -> None:
    """Plain bytes are not taken for the rest of packed ones."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].headers = {"Content-Encoding": "gzip"}

    spool = io.BytesIO()
    download(link, spool, HERE, sleep=change)
    assert spool.getvalue() == BODY
    assert [seen.range for seen in media.seen] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("packed", [CODED["gzip"][:-9], CODED["gzip"][:5000] + bytes(50) + CODED["gzip"][5050:]])
def test_broken_compression_is_no_file(media: MediaServer, packed: bytes) -> None:
    """Packed bytes that end early or make no sense are a failed try, though as many came as were promised."""
    link = media.serve("/a.mp4", body=packed, headers={"Content-Encoding": "gzip"})
    with pytest.raises(LandingError, match="compressed with"):
        fetch(link)
    assert len(media.seen) == LIMITS.tries


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "x-unheard-of"])
def test_compression_that_cannot_be_undone_is_refused(media: MediaServer, coding: str) -> None:
    """What is sent in another coding is not stored as if it were the file."""
    with pytest.raises(ResultCorruptError, match="compressed"):
        fetch(media.serve("/a.mp4", headers={"Content-Encoding": coding}))


def test_a_bomb_is_bounded(media: MediaServer) -> None:
    """What unfolds to more than is allowed is left as soon as that shows, in constant memory."""
    packed = gzip.compress(mp4(1000) + bytes(200_000_000), 1)
    link = media.serve("/a.mp4", body=packed, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        with pytest.raises(ResultCorruptError, match="50000000 are allowed"), NullSink() as spool:
            download(link, spool, HERE, Limits(max_bytes=50_000_000))
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


class NullSink(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def write(self, data: Any, /) -> int:
        return len(data)

    def seek(self, *_: int) -> int:
        return 0

    def truncate(self, *_: int | None) -> int:
        return 0


def test_a_page_behind_compression_is_a_page(media: MediaServer) -> None:
    """An error page is recognised when it is unpacked."""
    page = gzip.compress(b"<html><title>Just a moment...</title>")
    with pytest.raises(ResultCorruptError, match="no media"):
        fetch(media.serve("/a.mp4", body=page, headers={"Content-Encoding": "gzip"}))


def test_validator_of_the_last_whole_answer_counts(media: MediaServer) -> None:
    """After the file has changed, its rest is asked for under the new version's validator, not the old one's."""
    other = mp4(300_000, seed="other")
    link = media.serve("/a.mp4", body=BODY, faults=[{"cut": 100_000}, {"cut": 50_000}])

    def change(_: float) -> None:
        media.media["/a.mp4"].body, media.media["/a.mp4"].etag = other, '"v2"'

    spool = io.BytesIO()
    download(link, spool, HERE, sleep=change)
    assert spool.getvalue() == other
    asked = [(seen.range, seen.headers.get("if-range"), seen.status) for seen in media.seen]
    assert asked == [(None, None, 200), ("bytes=100000-", '"v1"', 200), ("bytes=50000-", '"v2"', 206)]


def test_a_download_has_an_end(media: MediaServer) -> None:
    """A server that is just quick enough, and never done, is left when the time for a file is up."""
    now = itertools.count(0, 10)
    link = media.serve("/a.mp4", body=BODY, faults=[{"endless": True}])
    with pytest.raises(LandingError, match=r"within 15 s \([0-9]+ bytes did\): the server is too slow"):
        download(link, io.BytesIO(), HERE, Limits(seconds=15, slowest=0), clock=lambda: float(next(now)))
    assert len(media.seen) == 1


def test_waits_count_for_the_end(media: MediaServer) -> None:
    """A host that asks for more patience than is left is not waited for."""
    busy = {"status": 503, "headers": {"Retry-After": "100"}}
    waits: list[float] = []
    link = media.serve("/a.mp4", body=BODY, faults=[busy] * 5)
    with pytest.raises(LandingError, match=r"within 250 s .* HTTP 503"):
        download(link, io.BytesIO(), HERE, Limits(seconds=250), sleep=waits.append, clock=lambda: sum(waits))
    assert waits == [100.0, 100.0]


def test_unknown_bytes_land_with_a_warning(media: MediaServer, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes of no known kind are what the server says, and the log says that nobody else does."""
    body = bytes(range(255, -1, -1)) * 100
    done, data = fetch(media.serve("/a.mp4", body=body, content_type="video/mp4"))
    assert data == body
    assert (done.media_type.extension, done.media_type.content_type) == ("mp4", "video/mp4")
    assert "of no kind known here" in caplog.text


@pytest.mark.parametrize("raw", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"])
def test_answer_that_is_no_http(media: MediaServer, raw: bytes) -> None:
    """An answer that is no HTTP is a failed try like any other."""
    assert fetch(media.serve("/a.mp4", body=BODY, faults=[{"raw": raw}]))[1] == BODY


@pytest.mark.parametrize("status", [300, 304])
def test_unexpected_status_is_no_file(media: MediaServer, status: int) -> None:
    """Any other status ends the try with a clear error."""
    with pytest.raises(ResultCorruptError, match=f"HTTP {status}"):
        fetch(media.serve("/a.mp4", faults=[{"status": status}]))


def test_redirects_are_followed_within_bounds(media: MediaServer) -> None:
    """Up to five redirects lead to the file; a loop is refused."""
    target = media.serve("/final.mp4", body=BODY)
    for number in range(5):
        to = f"/hop{number + 1}" if number < 4 else target
        media.serve(f"/hop{number}", faults=[{"status": 302, "headers": {"Location": to}}])
    assert fetch(f"{media.url}/hop0")[1] == BODY
    media.serve("/loop", faults=[{"status": 307, "headers": {"Location": "/loop"}}] * 9)
    with pytest.raises(ResultRefusedError, match="more than 5"):
        fetch(f"{media.url}/loop")


def test_full_disk_is_told(media: MediaServer) -> None:
    """A spool that can't hold the file ends the landing and is not taken for a network failure."""

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LandingError, match="No space left"):
        download(media.serve("/a.mp4", body=BODY), Full(), HERE)
    assert len(media.seen) == 1


def test_memory_stays_constant(media: MediaServer, tmp_path: Path) -> None:
    """A large file passes through memory in small pieces."""
    body = mp4(64 * 1024 * 1024)
    link = media.serve("/a.mp4", body=body)
    body_size, digest = len(body), hashlib.sha256(body).hexdigest()
    del body
    with (tmp_path / "spool").open("w+b") as spool:
        tracemalloc.start()
        done = download(link, spool, HERE)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (done.bytes, done.sha256) == (body_size, digest)
    assert peak < 2 * 1024 * 1024
