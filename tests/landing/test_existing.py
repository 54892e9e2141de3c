# SPDX-License-Identifier: Apache-2.0
"""Landings of the same name: what each may do to the existing file."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import FileConflictError, LandingError, LandingInputError
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.checkpoint import STORE_KEY, Checkpoint, Landed
from airflow_provider_evolink.landing.download import Download
from airflow_provider_evolink.landing.existing import OnExisting, conflict_message, parse_on_existing
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.media_types import MediaType
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_target import StorageTarget
from testkit.s3 import S3
from tests.landing.media_server import MediaServer, mp4
from tests.landing.publishing import FakeStore, files_in, local

A, B = "task-unified-1-aaaaaaaa", "task-unified-2-bbbbbbbb"
BODIES = {A: mp4(5000, "a"), B: mp4(6000, "b")}
MIB = 1024 * 1024


def lander(target: StorageTarget, store: Any = None, **options: Any) -> Lander:
    """Return a lander with a name that every generation shares."""
    network = Network(allow_loopback=True, read_timeout=5)
    arguments: dict[str, Any] = {"pattern": "video.{ext}", "network": network, **options}
    return Lander(
        destination=target, checkpoint=Checkpoint(store, timedelta(days=1)), renew=lambda _: None, **arguments
    )


@pytest.fixture
def results(media: MediaServer) -> dict[str, Result]:
    """One result from each of two generations."""
    return {
        generation_id: Result(generation_id, 0, media.serve(f"/{generation_id}.mp4", body=body))
        for generation_id, body in BODIES.items()
    }


def test_conflict(results: dict[str, Result], tmp_path: Path, store: Any) -> None:
    """The second landing leaves the file of the first alone, names both generations, and the ways out."""
    lander(local(tmp_path)).land(results[A])
    with pytest.raises(FileConflictError) as caught:
        lander(local(tmp_path), store).land(results[B])
    text = str(caught.value)
    for fact in (A, B, f"{tmp_path}/video.mp4", "{generation_id}", "on_existing='replace'", "on_existing='skip'"):
        assert fact in text
    assert caught.value.permanent
    assert caught.value.generation_id == B
    assert ".." not in text
    assert "charged" not in text
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[A]
    assert files_in(tmp_path) == ["video.mp4"]


@pytest.mark.parametrize("storage_type", ["s3", "local"])
def test_two_landings_of_the_same_name(results: dict[str, Result], tmp_path: Path, s3: S3, storage_type: str) -> None:
    """Of two concurrent landings of the same name one lands, and the other gets a conflict that names both."""
    for number in range(40 if storage_type == "local" else 3):
        target = local(tmp_path / str(number))
        if storage_type == "s3":
            # One after the other, since the S3 server of the tests ignores conditions.
            target = StorageTarget(s3.file_system(), f"videos/existing/{number}", "s3")
        barrier = threading.Barrier(2 if storage_type == "local" else 1)

        def land(generation_id: str, target: StorageTarget = target, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                lander(target).land(results[generation_id])
            except FileConflictError as error:
                assert {A, B} <= set(str(error).replace(":", " ").replace(",", " ").replace(";", " ").split())
                return "conflict"
            return generation_id

        with ThreadPoolExecutor(2 if storage_type == "local" else 1) as pool:
            outcomes = list(pool.map(land, (A, B)))
        assert outcomes.count("conflict") == 1
        winner = next(outcome for outcome in outcomes if outcome != "conflict")
        assert storage.contains(target / "video.mp4", len(BODIES[winner]), _sha(BODIES[winner]))


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_identical_file_counts_as_landed(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """Two landings of the same bytes both succeed, and the file is written once."""
    links = [media.serve(f"/{number}.mp4", body=BODIES[A]) for number in range(2)]
    first = lander(local(tmp_path)).land(Result(A, 0, links[0]))
    before = (tmp_path / "video.mp4").stat()
    second = lander(local(tmp_path), store).land(Result(B, 0, links[1]))
    assert first is not None
    assert second is not None
    assert (second.uri, second.sha256, second.generation_id) == (first.uri, first.sha256, B)
    assert (tmp_path / "video.mp4").stat().st_mtime_ns == before.st_mtime_ns


def test_identical_file_of_another_landing_is_not_replaced_later(
    media: MediaServer, results: dict[str, Result], tmp_path: Path, store: Any
) -> None:
    """An identical file of another task is not this task's own: a regenerated result leaves it alone."""
    lander(local(tmp_path)).land(results[A])
    lander(local(tmp_path), store).land(results[A])
    with pytest.raises(FileConflictError):
        lander(local(tmp_path), store).land(results[B])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[A]


def test_regenerated_result_replaces_its_own_file(results: dict[str, Result], tmp_path: Path, store: Any) -> None:
    """After a clear that made a new generation, the same task's new file replaces its old one."""
    lander(local(tmp_path), store).land(results[A])
    landed = lander(local(tmp_path), store).land(results[B])
    assert landed is not None
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[B]
    assert landed.sha256 == _sha(BODIES[B])
    assert files_in(tmp_path) == ["video.mp4"]


class Killed(BaseException):
    """The process is killed."""


@pytest.mark.parametrize("after", [A, B])
def test_killed_right_after_publishing(
    results: dict[str, Result], tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """A task that was killed right after its file got its name keeps the file, and may replace it."""
    publish = storage.publish

    def publish_and_die(*args: Any, **options: Any) -> None:
        publish(*args, **options)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(storage, "publish", publish_and_die)
        with pytest.raises(Killed):
            lander(local(tmp_path), store).land(results[A])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[A]
    lander(local(tmp_path), store).land(results[after])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[after]
    lander(local(tmp_path), store).land(results[B])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[B]


def test_lost_response_is_not_a_failure(
    results: dict[str, Result], tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the complete file exists although the storage reported a failure, it has landed."""
    publish = storage.publish

    def publish_and_fail(*args: Any, **options: Any) -> None:
        publish(*args, **options)
        publish(*args, **{**options, "replace": False})

    monkeypatch.setattr(storage, "publish", publish_and_fail)
    landed = lander(local(tmp_path), store).land(results[A])
    assert landed is not None
    assert landed.uri == f"file://{tmp_path}/video.mp4"


def test_replace(results: dict[str, Result], tmp_path: Path) -> None:
    """With "replace" the result replaces any existing file."""
    lander(local(tmp_path)).land(results[A])
    lander(local(tmp_path), on_existing=OnExisting.REPLACE).land(results[B])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[B]


def test_skip(results: dict[str, Result], tmp_path: Path, store: Any) -> None:
    """With "skip" another file stays and nothing is returned; an identical file counts as landed."""
    lander(local(tmp_path)).land(results[A])
    skipping = lander(local(tmp_path), store, on_existing=OnExisting.SKIP)
    assert skipping.land(results[B]) is None
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[A]
    assert skipping.land(results[A]) is not None


def test_file_of_unknown_origin(results: dict[str, Result], tmp_path: Path) -> None:
    """A file of unknown origin is left alone, too."""
    (tmp_path / "video.mp4").write_bytes(b"by hand")
    with pytest.raises(FileConflictError, match=f"file://{tmp_path}/video.mp4"):
        lander(local(tmp_path)).land(results[A])
    assert (tmp_path / "video.mp4").read_bytes() == b"by hand"


class WriteOnlyStorage(MemoryFileSystem):
    """Storage that can be written and listed, but not read."""

    protocol = "writeonly"
    store: ClassVar[dict[str, Any]] = {}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "rb":
            raise PermissionError("not for reading")
        return super()._open(path, mode, **options)


def test_unreadable_file(results: dict[str, Result], tmp_path: Path) -> None:
    """A file that can't be compared is left alone, and may be readable on the next attempt."""
    target = StorageTarget(WriteOnlyStorage(), "/writeonly", "writeonly")
    lander(target).land(results[A])
    for generation_id in (A, B):
        with pytest.raises(LandingError) as caught:
            lander(target).land(results[generation_id])
        assert caught.value.permanent == (generation_id == B)
    assert target.fs.info("/writeonly/video.mp4")["size"] == len(BODIES[A])
    assert lander(target, on_existing=OnExisting.REPLACE).land(results[B])


def test_killed_upload_is_aborted_by_its_own_task(media: MediaServer, s3: S3, store: Any) -> None:
    """A task that was killed during an upload aborts it on its next attempt, and no other task's."""
    body = mp4(9 * MIB)
    target = StorageTarget(s3.file_system(), "videos/aborted", "s3")
    result = Result(A, 0, media.serve("/large.mp4", body=body))
    another = target.fs.call_s3("create_multipart_upload", Bucket="videos", Key="aborted/video.mp4")["UploadId"]
    own = target.fs.call_s3("create_multipart_upload", Bucket="videos", Key="aborted/video.mp4")["UploadId"]
    entry = Landed("s3://videos/aborted/video.mp4", len(body), _sha(body), "video/mp4", A, "mp4")
    Checkpoint(store, timedelta(days=1)).put(result, entry, written=True, upload_id=own)
    lander(target, store).land(result)
    assert [upload["UploadId"] for upload in s3.pending() if upload["Key"].startswith("aborted")] == [another]
    target.fs.abort_mpu("videos", "aborted/video.mp4", another)
    assert store.get(STORE_KEY)[f"{A}/0"]["upload_id"] != own


# Each step is a task, the generation it lands, and its choice; storage, names and checkpoints are real.
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from(OnExisting)), max_size=12))
def test_any_order(history: list[tuple[int, int, OnExisting]]) -> None:
    """In whatever order tasks land, a file is replaced only by the task that has written it, or with "replace"."""
    stores = [FakeStore() for _ in range(3)]
    written: set[tuple[int, int]] = set()
    current: int | None = None
    with tempfile.TemporaryDirectory() as folder:
        for task, generation, choice in history:
            landing = PreparedLanding(lander(local(Path(folder)), stores[task], on_existing=choice))
            may_write = current is None or choice is OnExisting.REPLACE or (task, current) in written
            assert landing.lands(generation) == (may_write or current == generation)
            if may_write and current != generation:
                current = generation
                written.add((task, generation))
            elif current != generation:
                # After a conflict a task no longer counts an earlier file of that result as its own: the safe side.
                written.discard((task, generation))
            assert current is not None
            assert (Path(folder) / "video.mp4").read_bytes() == body_of(current)
            assert files_in(Path(folder)) == ["video.mp4"]


def body_of(generation: int) -> bytes:
    """Return the file of a generation."""
    return mp4(3000 + generation, str(generation))


@dataclass
class PreparedLanding:
    """A landing without a download."""

    lander: Lander

    def lands(self, generation: int) -> bool:
        """Land a generation; return whether it has landed."""
        result = Result(f"task-unified-{generation}", 0, "https://x.test/")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Lander, "_fetch", self._fetch)
            try:
                return self.lander.land(result) is not None
            except FileConflictError:
                return False

    @staticmethod
    def _fetch(_: Lander, result: Result, staging_file: Any) -> Download:
        body = body_of(int(result.generation_id[-1]))
        staging_file.write(body)
        return Download(len(body), _sha(body), MediaType("mp4", "video/mp4"))


def test_invalid_on_existing() -> None:
    """An invalid choice is refused by the parameter's name, with the valid ones."""
    assert [parse_on_existing(choice) for choice in ("fail", "replace", "skip")] == list(OnExisting)
    for wrong in ("overwrite", "", None, True, ["fail"]):
        with pytest.raises(LandingInputError, match=r"^`on_existing`=.*'fail', 'replace' or 'skip'"):
            parse_on_existing(wrong)


def test_advice_fits_the_pattern() -> None:
    """The pattern is not part of the advice if the generation id is in it already."""
    result = Result(A, 0, "https://x.test/")
    assert "filename_pattern" in conflict_message(result, "file:///v/video.mp4", None, "video.{ext}")
    text = conflict_message(result, "file:///v/x.mp4", A, "{generation_id}.{ext}")
    assert "filename_pattern" not in text
    assert text.count(A) == 2
