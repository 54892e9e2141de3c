# SPDX-License-Identifier: Apache-2.0
"""Landing on S3, Azure, Google Cloud Storage and SFTP, through Airflow connections: complete files or none at all."""

from __future__ import annotations

import hashlib
import logging
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import FileConflictError, LandingError, StorageRefusedError
from airflow_provider_evolink.landing import s3
from airflow_provider_evolink.landing.checkpoint import Checkpoint, Landed
from airflow_provider_evolink.landing.download_budget import Limits
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage import stored_generation_id
from airflow_provider_evolink.landing.storage_target import StorageTarget, storage_target
from testkit.environment import free_port
from testkit.s3 import S3
from testkit.sftp import Sftp
from tests.landing.media_server import MediaServer, mp4
from tests.landing.publishing import ID, MIB, FakeStore, race
from tests.object_stores import ObjectStore

PROJECT = Path(__file__).parent.parent.parent
BODY = mp4(200_000)
# The requests of a large upload, in order, as a method and a part of the path and query; and how many of them pass.
REQUESTS: dict[str, list[tuple[tuple[str, str], int]]] = {
    "s3": [(("POST", "uploads"), 0), (("PUT", "partNumber"), 0), (("PUT", "partNumber"), 2), (("POST", "uploadId"), 0)],
    "azure": [(("PUT", "comp=block&"), 0), (("PUT", "comp=block&"), 2), (("PUT", "comp=blocklist"), 0)],
    "gcs": [(("POST", "upload"), 0), (("POST", "upload"), 1), (("POST", "upload"), 3)],
}


@pytest.fixture(params=["s3", "azure", "gcs", "sftp"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """Each storage in turn, also one that shows files while they are written."""
    return ObjectStore(request.param, request.getfixturevalue(request.param), monkeypatch)


def lander(destination: str, store: FakeStore | None = None, **options: Any) -> Lander:
    """Return a lander for a destination."""
    return Lander(
        destination=storage_target(destination),
        network=Network(allow_loopback=True, read_timeout=2),
        checkpoint=Checkpoint(store, timedelta(days=1)),
        renew=lambda _: None,
        **{"pattern": DEFAULT_PATTERN, **options},
    )


def file_of(destination: str, name: str = f"{ID}/0.mp4") -> StorageTarget:
    """Return a file in a destination."""
    return storage_target(destination) / name


def content(target: StorageTarget) -> bytes | None:
    """Return what a file contains; None if there is none."""
    target.fs.invalidate_cache()
    return bytes(target.fs.cat_file(target.path)) if target.fs.exists(target.path) else None


def content_type(target: StorageTarget) -> str:
    """Return the content type that a storage has for a file."""
    info = target.fs.info(target.path)
    return str(info.get("ContentType") or info.get("contentType") or info["content_settings"]["content_type"])


@pytest.mark.parametrize("size", [200_000, 12 * MIB])
def test_an_object(storage: ObjectStore, media: MediaServer, size: int) -> None:
    """A small and a large file arrive whole, with their content type and their generation."""
    destination, body = storage.destination(f"whole/{size}"), mp4(size)
    landed = lander(destination).land(Result(ID, 0, media.serve("/0", body=body)))
    file = file_of(destination)
    assert landed is not None
    assert (landed.uri, landed.bytes) == (storage.uri(f"whole/{size}/{ID}/0.mp4"), size)
    assert landed.sha256 == hashlib.sha256(body).hexdigest()
    assert content(file) == body
    if storage.name != "sftp":
        assert content_type(file) == "video/mp4"
        assert stored_generation_id(file) == ID


def test_what_is_there_already(storage: ObjectStore, media: MediaServer) -> None:
    """What has landed is neither fetched nor written again; without a memory it is fetched, and counts as landed."""
    destination, store = storage.destination("same"), FakeStore()
    result = Result(ID, 0, media.serve("/0", body=BODY))
    first = lander(destination, store).land(result)
    written: list[Landed] = []
    again = lander(destination, store, on_written=lambda _, landed: written.append(landed))
    assert again.land(result) == first
    assert len(media.requests) == 1
    assert lander(destination, on_written=again.on_written).land(result) == first
    assert len(media.requests) == 2
    assert written == []


@pytest.mark.parametrize("object_store", ["azure"], indirect=True)
def test_headers_stay_out_of_the_log(
    object_store: ObjectStore, media: MediaServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A task's log does not have the headers of every request, as Azure's client would log them."""
    caplog.set_level(logging.INFO)
    lander(object_store.destination("quiet")).land(Result(ID, 0, media.serve("/0", body=BODY)))
    assert logging.getLogger("azure.core").isEnabledFor(logging.INFO)
    assert [record.name for record in caplog.records if record.name.startswith("azure")] == []


@pytest.mark.parametrize("size", [5000, 9 * MIB])
def test_the_name_is_taken(storage: ObjectStore, media: MediaServer, size: int) -> None:
    """Another's object is left alone, skipped or replaced, as the task says; one's own is replaced."""
    destination, store = storage.destination(f"taken/{size}"), FakeStore()
    options: dict[str, Any] = {"pattern": "latest.{ext}"}
    first, second, third = (
        Result(f"{ID}-{seed}", 0, media.serve(f"/{seed}", body=mp4(size, seed))) for seed in ("a", "b", "c")
    )
    file = file_of(destination, "latest.mp4")
    lander(destination, **options).land(first)
    with pytest.raises(FileConflictError, match=re.escape(file.uri)):
        lander(destination, **options).land(second)
    assert lander(destination, on_existing=OnExisting.SKIP, **options).land(second) is None
    assert content(file) == mp4(size, "a")
    lander(destination, store, on_existing=OnExisting.REPLACE, **options).land(second)
    assert content(file) == mp4(size, "b")
    lander(destination, store, **options).land(third)
    assert content(file) == mp4(size, "c")


@pytest.mark.parametrize(
    "name",
    ["two words", "Grüße-日本語", "100%20 50%", "a#b", "who?", "plus+and&", "it's (1) [x] {{y}}", "~tilde=,;@!$"],
)
def test_odd_names(storage: ObjectStore, media: MediaServer, name: str) -> None:
    """An object has exactly the name that the pattern makes, whatever characters it has, and is found again."""
    destination, store = storage.destination("odd"), FakeStore()
    result = Result(ID, 0, media.serve("/0", body=BODY))
    landed = lander(destination, store, pattern=f"{name}/{name}.{{ext}}").land(result)
    plain = name.replace("{{", "{").replace("}}", "}")
    assert landed is not None
    assert landed.uri == storage.uri(f"odd/{plain}/{plain}.mp4")
    target = file_of(destination, f"{plain}/{plain}.mp4")
    assert content(target) == BODY
    assert target.path in target.fs.find(storage_target(destination).path)
    assert lander(destination, store, pattern=f"{name}/{name}.{{ext}}").land(result) == landed
    assert len(media.requests) == 1


def test_a_source_that_breaks_off(storage: ObjectStore, media: MediaServer) -> None:
    """A download that breaks off leaves nothing; one that can be continued lands whole."""
    destination, body = storage.destination("source"), mp4(MIB)
    broken = Result(ID, 0, media.serve("/0", body=body, faults=[{"cut": 500_000}, {"cut": 0}]))
    resumed = Result(ID, 1, media.serve("/1", body=body, faults=[{"cut": 500_000}]))
    with pytest.raises(LandingError, match="no cost"):
        lander(destination, limits=Limits(max_attempts=2)).land(broken)
    assert content(file_of(destination)) is None
    lander(destination).land(resumed)
    assert content(file_of(destination, f"{ID}/1.mp4")) == body


@pytest.mark.parametrize("position", range(4))
def test_a_storage_that_breaks_off(object_store: ObjectStore, media: MediaServer, position: int) -> None:
    """Whichever request of an upload fails, no object has the name, and the next attempt lands it."""
    cuts = REQUESTS[object_store.name]
    if position >= len(cuts):
        pytest.skip("the upload has no further requests")
    body, store = mp4(16 * MIB), FakeStore()
    result = Result(ID, 0, media.serve("/0", body=body))
    with object_store.gateway() as gateway:
        gateway.refused, gateway.passing = cuts[position]
        gateway.refusal = (403, "AccessDenied")
        destination = object_store.destination(f"cut/{position}", f"cut_{position}", url=gateway.url)
        with pytest.raises(StorageRefusedError, match=r"no access to bucket 'videos' with connection '\w+'"):
            lander(destination, store).land(result)
        assert gateway.reached.is_set()
        assert content(file_of(destination)) is None
        gateway.refused = ("none", "none")
        lander(destination, store).land(result)
        assert content(file_of(destination)) == body


def process(destination: str, *links: str) -> subprocess.Popen[str]:
    """Start a process that lands links; it has the connections of this one."""
    command = [sys.executable, "-m", "tests.landing.landing_process", destination, ID, *links]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT)


def test_a_killed_landing(object_store: ObjectStore, media: MediaServer) -> None:
    """A worker that is killed in the middle of an upload leaves nothing under the name; the next one lands it."""
    body = mp4(16 * MIB)
    link = media.serve("/0", body=body)
    with object_store.gateway() as gateway:
        gateway.refused, gateway.passing = REQUESTS[object_store.name][2]
        gateway.refusal = (0, "")
        destination = object_store.destination("killed", "killed", url=gateway.url)
        with process(destination, link) as worker:
            assert gateway.reached.wait(120)
            worker.kill()
    destination = object_store.destination("killed", "after_the_kill")
    file = file_of(destination)
    assert content(file) is None
    lander(destination).land(Result(ID, 0, link))
    assert content(file) == body
    if isinstance(object_store.server, S3):
        # Without the checkpoint of the killed worker, its parts would stay for a day.
        s3.abort(file, [upload["UploadId"] for upload in object_store.server.pending()])


def test_a_large_file_in_bounded_memory(storage: ObjectStore, media: MediaServer) -> None:
    """200 MB land with a few blocks of memory more than a small file needs."""
    size = 200 * MIB
    links = [media.serve("/0", body=BODY), media.serve("/1", body=mp4(size))]
    destination = storage.destination("large")
    with process(destination, *links) as worker:
        output, errors = worker.communicate(timeout=170)
    assert worker.returncode == 0, errors
    _, peak = (int(line) for line in output.splitlines() if line.isdigit())
    assert peak < 50 * MIB, f"{peak / MIB:.0f} MiB"
    file = file_of(destination, f"{ID}/1.mp4")
    assert file.fs.info(file.path)["size"] == size
    file.fs.rm_file(file.path)


@pytest.mark.parametrize("size", [5000, 6 * MIB])
def test_eight_at_once(object_store: ObjectStore, size: int) -> None:
    """Of eight that land under one name at the same time one lands, and the others learn that the name is taken."""
    bodies = [mp4(size, str(number)) for number in range(8)]
    with object_store.gateway() as gateway:
        gateway.conditions = "honored"
        destination = object_store.destination(f"race/{size}", f"race_{size}", url=gateway.url)
        for number in range(3):
            file = file_of(destination, f"{number}.mp4")
            outcomes = race(bodies, [file] * 8)
            assert sorted(outcomes) == ["conflict"] * 7 + ["landed"]
            assert content(file) == bodies[outcomes.index("landed")]


@pytest.mark.parametrize("mistake", ["bucket", "credentials"])
def test_what_can_never_land(object_store: ObjectStore, media: MediaServer, mistake: str) -> None:
    """A missing bucket and wrong credentials are named with destination, connection, cost and what a retry does."""
    options = {"bucket": {"bucket": "not-there"}, "credentials": {"wrong": True}}[mistake]
    destination = object_store.destination("wrong", f"wrong_{mistake}", **options)  # type: ignore[arg-type]
    result = Result(ID, 0, media.serve("/0", body=BODY))
    with pytest.raises(StorageRefusedError) as caught:
        lander(destination).land(result)
    bucket = "not-there" if mistake == "bucket" else "videos"
    facts = (
        f"{object_store.scheme}://{bucket}/wrong",
        f"bucket {bucket!r}",
        f"connection '{object_store.name}_wrong_{mistake}'",
        "is made and paid for",
        "A retry is refused again",
    )
    for fact in facts:
        assert fact in str(caught.value)


@pytest.mark.parametrize("mistake", ["password", "port"])
def test_what_sftp_refuses(sftp: Sftp, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    """A wrong password or a server that is down is known when the destination is opened, before a payment."""
    server = replace(sftp, port=free_port()) if mistake == "port" else sftp
    destination = ObjectStore("sftp", server, monkeypatch).destination("x", mistake, wrong=mistake == "password")
    with pytest.raises(LandingError, match=r"can't be opened: (PermissionError|ConnectionRefusedError).*cost nothing"):
        storage_target(destination)
