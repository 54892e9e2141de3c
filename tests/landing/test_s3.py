"""Naming an object on S3: whole, only where nothing has that name, and without parts that nobody takes back."""

from __future__ import annotations

import gc
import hashlib
import io
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from gateway import Gateway
from media_server import mp4
from publishing import BODY, ID, MIB, filled, publish, race

from airflow_provider_evolink.api.errors import FileConflictError, StorageRefusedError
from airflow_provider_evolink.landing import s3 as s3_store
from airflow_provider_evolink.landing.storage import contains, generation_at
from airflow_provider_evolink.landing.storage_target import StorageTarget
from testkit.s3 import S3


@pytest.fixture
def gateway(s3: S3) -> Iterator[Any]:
    """A handler class whose ``refused`` says which S3 requests fail."""
    facts = {"to": s3.url.removeprefix("http://"), "refused": ("none", "none"), "made": set(), "lock": threading.Lock()}
    handler = type("Gateway", (Gateway,), facts)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield handler
    server.shutdown()
    server.server_close()


def bucket(s3: S3, url: str | None = None) -> StorageTarget:
    """The bucket, by default without anything in between."""
    return StorageTarget(s3.file_system(url), "videos", "s3")


@pytest.mark.parametrize("size", [200_000, 8 * MIB, 20 * MIB])
def test_s3_object(s3: S3, size: int) -> None:
    """Small and large files become objects with their content type."""
    body = mp4(size)
    target = bucket(s3) / f"task-1/{size}.mp4"
    with filled(target, body) as spool:
        publish(spool, target, size)
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
        (5 * MIB, ("POST", "uploadId=")),
    ],
)
def test_failed_upload_leaves_nothing(s3: S3, gateway: Any, size: int, refused: tuple[str, str]) -> None:
    """Wherever an upload fails, neither a short object nor a part that costs money is left."""
    gateway.refused = refused
    target = bucket(s3, gateway.url) / "broken/0.mp4"
    with filled(target, mp4(size)) as spool, pytest.raises(StorageRefusedError, match="s3://videos/broken"):
        publish(spool, target, size)
    gc.collect()
    assert not (s3.folder / "videos" / "broken" / "0.mp4").exists()
    assert s3.pending() == []


class Interrupted(io.BytesIO):
    """A spool during whose reading the task is told to stop, when three parts of it are sent."""

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
        publish(Interrupted(mp4(20 * MIB)), target, 20 * MIB)
    gc.collect()
    assert len(sent) == 3
    assert not (s3.folder / "videos" / "stopped" / "0.mp4").exists()
    assert s3.pending() == []


def test_parts_of_a_killed_upload_are_aborted(s3: S3) -> None:
    """What a killed try has left half uploaded is aborted by the next; uploads that may be another's go on."""
    target = bucket(s3) / "killed/0.mp4"
    begin = partial(target.fs.call_s3, "create_multipart_upload", Bucket="videos")
    own, another, other_file = (begin(Key=f"killed/0.mp4{more}")["UploadId"] for more in ("", "", ".other"))
    with filled(target, mp4(9 * MIB)) as spool:
        publish(spool, target, 9 * MIB, earlier_uploads=[own, "never-begun"])
    assert {upload["UploadId"] for upload in s3.pending()} == {another, other_file}
    s3_store.abort(target, [another])
    s3_store.abort(StorageTarget(target.fs, f"{target.path}.other", "s3"), [other_file])
    assert s3.pending() == []


def test_uploads_grow_old() -> None:
    """An upload that was begun more than a day ago is nobody's any more; one whose age is not known may run."""
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    day, hour = timedelta(days=1), timedelta(hours=1)
    assert s3_store.is_stale({"Initiated": now - day - hour}, now=now)
    for begun in (now - day + hour, now + hour, None, "yesterday"):
        assert not s3_store.is_stale({"Initiated": begun}, now=now)
    assert not s3_store.is_stale({}, now=now)


class Listing:
    """A store in which old uploads lie, listed by the beginning of their names as S3 does."""

    def __init__(self) -> None:
        self.aborted: list[str] = []

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def call_s3(self, _: str, *, Bucket: str, Prefix: str) -> dict[str, Any]:  # noqa: N803 - S3's names
        begun = datetime(2026, 1, 1, tzinfo=UTC)
        return {"Uploads": [{"Key": Prefix + end, "UploadId": f"upload{end}", "Initiated": begun} for end in ("", "2")]}

    def abort_mpu(self, _: str, __: str, upload: str) -> None:
        self.aborted.append(upload)


def test_uploads_of_other_names_are_left() -> None:
    """A name that only begins like this one is another's."""
    store = Listing()
    s3_store.abort_stale(StorageTarget(store, "videos/0", "s3"), now=datetime(2026, 1, 9, tzinfo=UTC))
    assert store.aborted == ["upload"]


def test_upload_is_noted_before_its_parts(s3: S3) -> None:
    """The id of an upload is known before there is anything of it that costs money."""
    target = bucket(s3) / "noted/0.mp4"
    order: list[str] = []
    target.fs.s3.meta.events.register("before-call.s3.UploadPart", lambda **_: order.append("part"))
    with filled(target, mp4(9 * MIB)) as spool:
        publish(spool, target, 9 * MIB, began=lambda upload: order.append("small" if upload is None else "noted"))
    assert order == ["noted", "part", "part"]


@pytest.mark.parametrize("size", [5000, 9 * MIB])
@pytest.mark.parametrize("conditions", ["honoured", "ignored", "refused"])
def test_object_that_is_there_stays(s3: S3, gateway: Any, size: int, conditions: str) -> None:
    """An object that lies there is left alone, whatever the store thinks of conditions, and nothing else is left."""
    gateway.conditions = conditions
    target = bucket(s3, gateway.url) / f"there-{conditions}/{size}.mp4"
    first, second = mp4(size, "a"), mp4(size + 1, "b")
    with filled(target, first) as spool:
        publish(spool, target, size)
    with filled(target, second) as spool, pytest.raises(FileConflictError, match="s3://videos/there"):
        publish(spool, target, size + 1)
    assert contains(target, size, hashlib.sha256(first).hexdigest())
    with filled(target, second) as spool:
        publish(spool, target, size + 1, replace=True)
    assert contains(target, size + 1, hashlib.sha256(second).hexdigest())
    assert s3.pending() == []


@pytest.mark.parametrize("size", [5000, 5 * MIB])
def test_two_uploads_meet(s3: S3, gateway: Any, size: int) -> None:
    """Of two uploads under one name one lands, if the store honours conditions as S3 does; the other is told."""
    gateway.conditions = "honoured"
    bodies = [mp4(size, "a"), mp4(size + 1000, "b")]
    folders = [bucket(s3, gateway.url) / f"meet-{size}" for _ in bodies]
    for number in range(10):
        ends = race(bodies, [folder / f"{number}.mp4" for folder in folders])
        assert sorted(ends) == ["conflict", "landed"]
        body = bodies[ends.index("landed")]
        assert contains(folders[0] / f"{number}.mp4", len(body), hashlib.sha256(body).hexdigest())
    assert s3.pending() == []


@pytest.mark.parametrize("size", [5000, 5 * MIB])
def test_object_says_whose_it_is(s3: S3, gateway: Any, size: int) -> None:
    """An object has its generation in its metadata."""
    target = bucket(s3, gateway.url) / f"whose/{size}.mp4"
    with filled(target, mp4(size)) as spool:
        publish(spool, target, size)
    assert generation_at(target) == ID


def test_missing_bucket(s3: S3) -> None:
    """A bucket that does not exist is told, with the connection, and not made; no retry is promised."""
    target = StorageTarget(bucket(s3).fs, "no-such-bucket/0.mp4", "s3", "store")
    with filled(target) as spool, pytest.raises(StorageRefusedError, match="'no-such-bucket' for connection 'store'"):
        publish(spool, target, len(BODY))
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
        publish(spool, target, size)
        assert contains(target, size, digest)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 32 * MIB
