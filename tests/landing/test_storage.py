from __future__ import annotations

import gc
import hashlib
import io
import os
import stat
import threading
import tracemalloc
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from media_server import mp4

from airflow_provider_evolink.api.errors import InvalidInputError, LandingError
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.storage import Place, holds, new_spool, place_of, publish
from tests.s3 import S3

BODY = mp4(200_000)
SHA = hashlib.sha256(BODY).hexdigest()
MIB = 1024 * 1024


def local(folder: Path) -> Place:
    """A folder of this machine."""
    return Place(LocalFileSystem(), str(folder), "file")


def filled(place: Place, body: bytes = BODY) -> BinaryIO:
    """A spool with a whole file."""
    spool = new_spool(place)
    spool.write(body)
    return spool


def files_in(folder: Path) -> list[str]:
    """Every file, whatever its name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_spool_has_no_name(tmp_path: Path) -> None:
    """While a file is on its way, nothing of it can be seen at the destination."""
    with filled(local(tmp_path / "new")):
        assert files_in(tmp_path) == []


def no_link(*_: Any, **__: Any) -> None:
    """Fail as a network file system does."""
    raise OSError("not supported")


@pytest.fixture(params=["link", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without a system that can name an open file (network file systems and macOS can't)."""
    if request.param == "copy":
        monkeypatch.setattr(os, "link", no_link)
    return str(request.param)


def test_local_file(tmp_path: Path, way: str) -> None:
    """A whole file gets its name in one step, in folders that are made for it, readable as any other file."""
    destination = local(tmp_path)
    target = destination / "task-1/0.mp4"
    with filled(destination) as spool:
        publish(spool, target, len(BODY), "video/mp4")
    path = tmp_path / "task-1" / "0.mp4"
    assert path.read_bytes() == BODY
    assert files_in(tmp_path) == ["task-1/0.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert target.uri == f"file://{path}"
    assert holds(target, len(BODY), SHA)


def test_local_file_is_replaced(tmp_path: Path, way: str) -> None:
    """What lay there under the same name is replaced, and what a killed landing left beside it is removed."""
    target = local(tmp_path) / "0.mp4"
    (tmp_path / "0.mp4").write_bytes(b"half")
    left = Path(f"{tmp_path}/{storage._part_prefix(target)}dead.part")
    other = tmp_path / f"{storage._part_prefix(local(tmp_path) / '1.mp4')}alive.part"
    left.write_bytes(b"half")
    other.write_bytes(b"of another file")
    assert not holds(target, len(BODY), SHA)
    with filled(local(tmp_path)) as spool:
        publish(spool, target, len(BODY), "video/mp4")
    assert files_in(tmp_path) == sorted([other.name, "0.mp4"])
    assert holds(target, len(BODY), SHA)


def test_failure_leaves_nothing(tmp_path: Path, way: str) -> None:
    """If the name can't be given, nothing is left beside it."""
    (tmp_path / "0.mp4").mkdir()
    with (
        filled(local(tmp_path)) as spool,
        pytest.raises(LandingError, match=r"could not be written to file:///.*0\.mp4"),
    ):
        publish(spool, local(tmp_path) / "0.mp4", len(BODY), "video/mp4")
    assert files_in(tmp_path) == []


def test_other_storage_is_written_beside_and_moved() -> None:
    """On storage that shows half files, the file is written under another name first."""
    fs = MemoryFileSystem()
    destination = Place(fs, "/elsewhere", "memory")
    for _ in range(2):
        with filled(destination) as spool:
            publish(spool, destination / "task-1/0.mp4", len(BODY), "video/mp4")
    assert fs.find("/elsewhere") == ["/elsewhere/task-1/0.mp4"]
    assert holds(destination / "task-1/0.mp4", len(BODY), SHA)
    assert (destination / "a").uri == "memory:///elsewhere/a"


class Lossy(MemoryFileSystem):
    """Storage that loses the end of a file and does not say so."""

    protocol = "lossy"

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.pipe_file(path2, self.cat_file(path1)[:-1])
        self.rm_file(path1)


def test_short_file_is_not_left() -> None:
    """If the storage holds less than was written, that is told, and the half file is removed."""
    target = Place(Lossy(), "/lossy/0.mp4", "lossy")
    with filled(target) as spool, pytest.raises(LandingError, match="199999 bytes after 200000"):
        publish(spool, target, len(BODY), "video/mp4")
    assert target.fs.find("/lossy") == []


def test_same_size_is_not_the_same(tmp_path: Path) -> None:
    """A file is taken for the same only if its bytes are."""
    (tmp_path / "0.mp4").write_bytes(BODY[:-1] + b"x")
    assert not holds(local(tmp_path) / "0.mp4", len(BODY), SHA)
    assert not holds(local(tmp_path) / "1.mp4", len(BODY), SHA)


def test_unknown_scheme() -> None:
    """A scheme that no installed provider knows is refused by the parameter's name."""
    for destination in ("nowhere://bucket/folder", "memory://folder", "", None, 5):
        with pytest.raises(InvalidInputError, match="destination="):
            place_of(destination)  # type: ignore[arg-type]


class _Gateway(BaseHTTPRequestHandler):
    """Stands before the S3 server and turns requests down that match ``refused``."""

    protocol_version = "HTTP/1.1"
    to: str
    refused: tuple[str, str]

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == self.refused[0] and self.refused[1] in self.path:
            status, headers, answer = 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        else:
            connection = HTTPConnection(self.to)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            status, headers, answer = response.status, dict(response.headers), response.read()
            connection.close()
        self.send_response(status)
        for name in ("ETag", "Content-Type", "Last-Modified"):
            if name in headers:
                self.send_header(name, headers[name])
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(answer))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = _forward  # noqa: N815 - the base's names
    do_PUT = _forward  # noqa: N815
    do_POST = _forward  # noqa: N815
    do_DELETE = _forward  # noqa: N815
    do_HEAD = _forward  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def gateway(s3: S3) -> Iterator[Any]:
    """A handler class whose ``refused`` says which S3 requests fail."""
    handler = type("Gateway", (_Gateway,), {"to": s3.url.removeprefix("http://"), "refused": ("none", "none")})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield handler
    server.shutdown()
    server.server_close()


def bucket(s3: S3, url: str | None = None) -> Place:
    """The bucket, by default without anything in between."""
    return Place(s3.file_system(url), "videos", "s3")


@pytest.mark.parametrize("size", [200_000, 8 * MIB, 20 * MIB])
def test_s3_object(s3: S3, size: int) -> None:
    """Small and large files become objects with their content type."""
    body = mp4(size)
    target = bucket(s3) / f"task-1/{size}.mp4"
    with filled(target, body) as spool:
        publish(spool, target, size, "video/mp4")
    assert (s3.folder / "videos" / "task-1" / f"{size}.mp4").read_bytes() == body
    assert target.fs.info(target.path)["ContentType"] == "video/mp4"
    assert target.uri == f"s3://videos/task-1/{size}.mp4"
    assert s3.pending() == []


@pytest.mark.parametrize(
    ("size", "refused"),
    [
        (200_000, ("PUT", "broken")),
        (20 * MIB, ("POST", "uploads")),
        (20 * MIB, ("PUT", "partNumber=2")),
        (20 * MIB, ("PUT", "partNumber=3")),
        (20 * MIB, ("POST", "uploadId=")),
    ],
)
def test_failed_upload_leaves_nothing(s3: S3, gateway: Any, size: int, refused: tuple[str, str]) -> None:
    """Wherever an upload fails, neither a short object nor a part that costs money is left."""
    gateway.refused = refused
    target = bucket(s3, gateway.url) / "broken/0.mp4"
    with filled(target, mp4(size)) as spool, pytest.raises(LandingError, match="s3://videos/broken"):
        publish(spool, target, size, "video/mp4")
    gc.collect()
    assert not (s3.folder / "videos" / "broken" / "0.mp4").exists()
    assert s3.pending() == []


class Interrupted(io.BytesIO):
    """A spool during whose reading the task is told to stop, when two parts of it are sent."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 12 * MIB:
            raise KeyboardInterrupt
        return super().read(size)


def test_stopped_upload_leaves_nothing(s3: S3) -> None:
    """A task that is stopped in the middle of an upload (a timeout, a signal) takes its parts back with it."""
    target = bucket(s3) / "stopped/0.mp4"
    sent: list[str] = []
    target.fs.s3.meta.events.register("after-call.s3.UploadPart", lambda **_: sent.append("part"))
    with pytest.raises(KeyboardInterrupt):
        publish(Interrupted(mp4(20 * MIB)), target, 20 * MIB, "video/mp4")
    gc.collect()
    assert len(sent) == 2
    assert not (s3.folder / "videos" / "stopped" / "0.mp4").exists()
    assert s3.pending() == []


def test_parts_of_a_killed_upload_are_aborted(s3: S3) -> None:
    """What a killed worker has left half uploaded is aborted by the next landing of the same file, and nothing else."""
    target = bucket(s3) / "killed/0.mp4"
    for key in ("killed/0.mp4", "killed/0.mp4.other"):
        target.fs.call_s3("create_multipart_upload", Bucket="videos", Key=key)
    with filled(target, mp4(9 * MIB)) as spool:
        publish(spool, target, 9 * MIB, "video/mp4")
    left = s3.pending()
    assert [upload["Key"] for upload in left] == ["killed/0.mp4.other"]
    target.fs.abort_mpu("videos", left[0]["Key"], left[0]["UploadId"])


def test_missing_bucket(s3: S3) -> None:
    """A bucket that does not exist is told, and not made."""
    target = Place(bucket(s3).fs, "no-such-bucket/0.mp4", "s3")
    with filled(target) as spool, pytest.raises(LandingError, match="s3://no-such-bucket"):
        publish(spool, target, len(BODY), "video/mp4")
    assert not (s3.folder / "no-such-bucket").exists()


def test_upload_in_constant_memory(s3: S3) -> None:
    """A large file passes through memory in pieces on its way to an object store, and back to be compared."""
    size = 64 * MIB
    target = bucket(s3) / "large/0.mp4"
    body = mp4(size)
    digest = hashlib.sha256(body).hexdigest()
    with filled(target, body) as spool:
        del body
        tracemalloc.start()
        publish(spool, target, size, "video/mp4")
        assert holds(target, size, digest)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 32 * MIB
