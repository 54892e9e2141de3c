# SPDX-License-Identifier: Apache-2.0
"""Publishing on S3: only complete objects, never over another object, and without abandoned parts."""

from __future__ import annotations

import gc
import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import FileConflictError, StorageRefusedError
from airflow_provider_evolink.landing import s3 as s3_store
from airflow_provider_evolink.landing.storage import contains
from airflow_provider_evolink.landing.storage_target import StorageTarget
from testkit.s3 import S3
from tests.landing.gateway import gateway_to
from tests.landing.media_server import mp4
from tests.landing.publishing import MIB, publish, race, staged


@pytest.fixture
def gateway(s3: S3) -> Iterator[Any]:
    """A reverse proxy in front of S3; the attribute ``refused`` selects requests that fail."""
    with gateway_to(s3.url) as gateway:
        yield gateway


def bucket(s3: S3, url: str | None = None) -> StorageTarget:
    """Return the bucket, by default without the reverse proxy."""
    return StorageTarget(s3.file_system(url), "videos", "s3")


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
    """Wherever an upload fails, neither a truncated object nor a part that costs money is left."""
    gateway.refused = refused
    target = bucket(s3, gateway.url) / "broken/0.mp4"
    with staged(target, mp4(size)) as staging_file, pytest.raises(StorageRefusedError, match="s3://videos/broken"):
        publish(staging_file, target, size)
    gc.collect()
    assert not (s3.folder / "videos" / "broken" / "0.mp4").exists()
    assert s3.pending() == []


def client(target: StorageTarget) -> Any:
    """Return what sends the requests, which older releases of s3fs make anew until it has sent one."""
    target.fs.call_s3("list_objects_v2", Bucket="videos", MaxKeys=1)
    return target.fs.s3


class Interrupted(io.BytesIO):
    """A staging file that raises while it is read, as if the task were stopped, once three parts are sent."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 12 * MIB:
            raise KeyboardInterrupt
        return super().read(size)


def test_interrupted_upload_leaves_nothing(s3: S3) -> None:
    """A task that is stopped during an upload (by a timeout or a signal) aborts it."""
    target = bucket(s3) / "stopped/0.mp4"
    sent: list[str] = []
    client(target).meta.events.register("after-call.s3.UploadPart", lambda **_: sent.append("part"))
    with pytest.raises(KeyboardInterrupt):
        publish(Interrupted(mp4(20 * MIB)), target, 20 * MIB)
    gc.collect()
    assert len(sent) == 3
    assert not (s3.folder / "videos" / "stopped" / "0.mp4").exists()
    assert s3.pending() == []


def test_upload_of_a_killed_attempt_is_aborted(s3: S3) -> None:
    """The upload of a killed attempt is aborted by the next one; uploads that may be another's continue."""
    target = bucket(s3) / "killed/0.mp4"
    create = partial(target.fs.call_s3, "create_multipart_upload", Bucket="videos")
    own, another, other_file = (create(Key=f"killed/0.mp4{suffix}")["UploadId"] for suffix in ("", "", ".other"))
    with staged(target, mp4(9 * MIB)) as staging_file:
        publish(staging_file, target, 9 * MIB, earlier_upload_ids=[own, "never-begun"])
    assert {upload["UploadId"] for upload in s3.pending()} == {another, other_file}
    s3_store.abort(target, [another])
    s3_store.abort(StorageTarget(target.fs, f"{target.path}.other", "s3"), [other_file])
    assert s3.pending() == []


def test_stale_uploads() -> None:
    """An upload started more than a day ago is stale; one of unknown age may be running."""
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    day, hour = timedelta(days=1), timedelta(hours=1)
    assert s3_store.is_stale({"Initiated": now - day - hour}, now=now)
    for started in (now - day + hour, now + hour, None, "yesterday"):
        assert not s3_store.is_stale({"Initiated": started}, now=now)
    assert not s3_store.is_stale({}, now=now)


class StaleUploads:
    """A store with old uploads, which lists them by prefix as S3 does."""

    def __init__(self) -> None:
        self.aborted: list[str] = []

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def call_s3(self, _: str, *, Bucket: str, Prefix: str) -> dict[str, Any]:  # noqa: N803 - S3's names
        started = datetime(2026, 1, 1, tzinfo=UTC)
        return {
            "Uploads": [{"Key": Prefix + end, "UploadId": f"upload{end}", "Initiated": started} for end in ("", "2")]
        }

    def abort_mpu(self, _: str, __: str, upload: str) -> None:
        self.aborted.append(upload)


def test_stale_uploads_of_other_names_are_left_alone() -> None:
    """A longer name with the same prefix is another file."""
    store = StaleUploads()
    s3_store.abort_stale(StorageTarget(store, "videos/0", "s3"), now=datetime(2026, 1, 9, tzinfo=UTC))
    assert store.aborted == ["upload"]


def test_upload_id_is_reported_before_its_parts(s3: S3) -> None:
    """The upload id is reported before there are parts that cost money."""
    target = bucket(s3) / "reported/0.mp4"
    order: list[str] = []
    client(target).meta.events.register("before-call.s3.UploadPart", lambda **_: order.append("part"))
    with staged(target, mp4(9 * MIB)) as staging_file:
        publish(
            staging_file,
            target,
            9 * MIB,
            on_start=lambda upload_id: order.append("small" if upload_id is None else "id"),
        )
    assert order == ["id", "part", "part"]


@pytest.mark.parametrize("size", [5000, 9 * MIB])
@pytest.mark.parametrize("conditions", ["honored", "ignored", "refused"])
def test_existing_object_is_left_alone(s3: S3, gateway: Any, size: int, conditions: str) -> None:
    """An existing object is left alone, whether the store supports conditional writes or not, and no upload is left."""
    gateway.conditions = conditions
    target = bucket(s3, gateway.url) / f"there-{conditions}/{size}.mp4"
    first, second = mp4(size, "a"), mp4(size + 1, "b")
    with staged(target, first) as staging_file:
        publish(staging_file, target, size)
    with staged(target, second) as staging_file, pytest.raises(FileConflictError, match="s3://videos/there"):
        publish(staging_file, target, size + 1)
    assert contains(target, size, hashlib.sha256(first).hexdigest())
    with staged(target, second) as staging_file:
        publish(staging_file, target, size + 1, replace=True)
    assert contains(target, size + 1, hashlib.sha256(second).hexdigest())
    assert s3.pending() == []


@pytest.mark.parametrize("size", [5000, 5 * MIB])
def test_concurrent_uploads(s3: S3, gateway: Any, size: int) -> None:
    """Of two concurrent uploads one lands, if the store honors conditions as S3 does; the other gets a conflict."""
    gateway.conditions = "honored"
    bodies = [mp4(size, "a"), mp4(size + 1000, "b")]
    folders = [bucket(s3, gateway.url) / f"meet-{size}" for _ in bodies]
    for number in range(10):
        outcomes = race(bodies, [folder / f"{number}.mp4" for folder in folders])
        assert sorted(outcomes) == ["conflict", "landed"]
        body = bodies[outcomes.index("landed")]
        assert contains(folders[0] / f"{number}.mp4", len(body), hashlib.sha256(body).hexdigest())
    assert s3.pending() == []
