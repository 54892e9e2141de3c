"""Landings that meet under one name: what each may do to the file that lies there."""

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
from media_server import MediaServer, mp4
from publishing import FakeStore, files_in, local

from airflow_provider_evolink.api.errors import FileConflictError, LandingError, LandingInputError
from airflow_provider_evolink.landing import storage
from airflow_provider_evolink.landing.checkpoint import STORE_KEY, Checkpoint, Landed
from airflow_provider_evolink.landing.download import Download
from airflow_provider_evolink.landing.existing import OnExisting, conflict, on_existing_of
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.media_types import MediaType
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_target import StorageTarget
from testkit.s3 import S3

A, B = "task-unified-1-aaaaaaaa", "task-unified-2-bbbbbbbb"
BODIES = {A: mp4(5000, "a"), B: mp4(6000, "b")}
MIB = 1024 * 1024


def lander(place: StorageTarget, store: Any = None, **more: Any) -> Lander:
    """A landing under a name that every generation shares."""
    facts: dict[str, Any] = {"pattern": "video.{ext}", "network": Network(allow_loopback=True, read_timeout=5), **more}
    return Lander(destination=place, checkpoint=Checkpoint(store, timedelta(days=1)), renew=lambda _: None, **facts)


@pytest.fixture
def results(media: MediaServer) -> dict[str, Result]:
    """A result of each of two generations."""
    return {one: Result(one, 0, media.serve(f"/{one}.mp4", body=body)) for one, body in BODIES.items()}


def test_one_after_the_other(results: dict[str, Result], tmp_path: Path, store: Any) -> None:
    """The second landing under one name leaves the first one's file alone and names both, and the ways out."""
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


@pytest.mark.parametrize("kind", ["s3", "local"])
def test_two_at_a_time(results: dict[str, Result], tmp_path: Path, s3: S3, kind: str) -> None:
    """Whenever two landings under one name meet, one lands and one is told, on each kind of storage we run here."""
    for number in range(40 if kind == "local" else 3):
        place = local(tmp_path / str(number))
        if kind == "s3":
            # Begun one after the other, since the server of these tests ignores conditions.
            place = StorageTarget(s3.file_system(), f"videos/existing/{number}", "s3")
        barrier = threading.Barrier(2 if kind == "local" else 1)

        def land(one: str, place: StorageTarget = place, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                lander(place).land(results[one])
            except FileConflictError as error:
                assert {A, B} <= set(str(error).replace(":", " ").replace(",", " ").replace(";", " ").split())
                return "told"
            return one

        with ThreadPoolExecutor(2 if kind == "local" else 1) as pool:
            ends = list(pool.map(land, (A, B)))
        assert ends.count("told") == 1
        winner = next(end for end in ends if end != "told")
        assert storage.contains(place / "video.mp4", len(BODIES[winner]), _sha(BODIES[winner]))


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_the_same_file_counts_as_landed(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """Two landings of the same bytes both succeed, and the file is written once."""
    links = [media.serve(f"/{number}.mp4", body=BODIES[A]) for number in range(2)]
    first = lander(local(tmp_path)).land(Result(A, 0, links[0]))
    before = (tmp_path / "video.mp4").stat()
    second = lander(local(tmp_path), store).land(Result(B, 0, links[1]))
    assert first is not None
    assert second is not None
    assert (second.uri, second.sha256, second.generation_id) == (first.uri, first.sha256, B)
    assert (tmp_path / "video.mp4").stat().st_mtime_ns == before.st_mtime_ns


def test_another_landings_same_file_is_not_replaced_later(
    media: MediaServer, results: dict[str, Result], tmp_path: Path, store: Any
) -> None:
    """That another's file was the same does not make it this task's own: a regenerated result leaves it alone."""
    lander(local(tmp_path)).land(results[A])
    lander(local(tmp_path), store).land(results[A])
    with pytest.raises(FileConflictError):
        lander(local(tmp_path), store).land(results[B])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[A]


def test_regenerated_result_takes_its_own_place(results: dict[str, Result], tmp_path: Path, store: Any) -> None:
    """After a clear that made a new generation, the same task's new file takes the place of its old one."""
    lander(local(tmp_path), store).land(results[A])
    landed = lander(local(tmp_path), store).land(results[B])
    assert landed is not None
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[B]
    assert landed.sha256 == _sha(BODIES[B])
    assert files_in(tmp_path) == ["video.mp4"]


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("after", [A, B])
def test_killed_between_name_and_end(
    results: dict[str, Result], tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """A task that was killed as soon as its file had its name goes on with it, and may replace it."""
    publish = storage.publish

    def die(*given: Any, **how: Any) -> None:
        publish(*given, **how)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(storage, "publish", die)
        with pytest.raises(Killed):
            lander(local(tmp_path), store).land(results[A])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[A]
    lander(local(tmp_path), store).land(results[after])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[after]
    lander(local(tmp_path), store).land(results[B])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[B]


def test_lost_answer_is_no_failure(
    results: dict[str, Result], tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file lies there, whole, after a storage said that it could not write it, it is landed."""
    publish = storage.publish

    def lose(*given: Any, **how: Any) -> None:
        publish(*given, **how)
        publish(*given, **{**how, "replace": False})

    monkeypatch.setattr(storage, "publish", lose)
    landed = lander(local(tmp_path), store).land(results[A])
    assert landed is not None
    assert landed.uri == f"file://{tmp_path}/video.mp4"


def test_replace(results: dict[str, Result], tmp_path: Path) -> None:
    """With "replace" the result takes the place of whatever lies there."""
    lander(local(tmp_path)).land(results[A])
    lander(local(tmp_path), on_existing=OnExisting.REPLACE).land(results[B])
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[B]


def test_skip(results: dict[str, Result], tmp_path: Path, store: Any) -> None:
    """With "skip" another's file stays and nothing is said to have landed; one that is the same counts as landed."""
    lander(local(tmp_path)).land(results[A])
    skipping = lander(local(tmp_path), store, on_existing=OnExisting.SKIP)
    assert skipping.land(results[B]) is None
    assert (tmp_path / "video.mp4").read_bytes() == BODIES[A]
    assert skipping.land(results[A]) is not None


def test_file_of_an_unknown_hand(results: dict[str, Result], tmp_path: Path) -> None:
    """A file of which nothing is known is left alone, too."""
    (tmp_path / "video.mp4").write_bytes(b"by hand")
    with pytest.raises(FileConflictError, match="a file that this task has not written"):
        lander(local(tmp_path)).land(results[A])
    assert (tmp_path / "video.mp4").read_bytes() == b"by hand"


class Opaque(MemoryFileSystem):
    """Storage that can be written to and listed, but not read."""

    protocol = "opaque"
    store: ClassVar[dict[str, Any]] = {}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "rb":
            raise PermissionError("not for reading")
        return super()._open(path, mode, **options)


def test_file_that_can_not_be_read(results: dict[str, Result], tmp_path: Path) -> None:
    """What can't be compared is left alone, and may be readable at the next try."""
    place = StorageTarget(Opaque(), "/opaque", "opaque")
    lander(place).land(results[A])
    for one in (A, B):
        with pytest.raises(LandingError) as caught:
            lander(place).land(results[one])
        assert caught.value.permanent == (one == B)
    assert place.fs.info("/opaque/video.mp4")["size"] == len(BODIES[A])
    assert lander(place, on_existing=OnExisting.REPLACE).land(results[B])


def test_killed_upload_is_taken_back_by_its_own_task(media: MediaServer, s3: S3, store: Any) -> None:
    """A task that was killed in the middle of an upload aborts it at its next try, and no other task's."""
    body = mp4(9 * MIB)
    place = StorageTarget(s3.file_system(), "videos/taken-back", "s3")
    result = Result(A, 0, media.serve("/large.mp4", body=body))
    another = place.fs.call_s3("create_multipart_upload", Bucket="videos", Key="taken-back/video.mp4")["UploadId"]
    own = place.fs.call_s3("create_multipart_upload", Bucket="videos", Key="taken-back/video.mp4")["UploadId"]
    noted = Landed("s3://videos/taken-back/video.mp4", len(body), _sha(body), "video/mp4", A, "mp4")
    Checkpoint(store, timedelta(days=1)).put(result, noted, written=True, upload=own)
    lander(place, store).land(result)
    assert [upload["UploadId"] for upload in s3.pending() if upload["Key"].startswith("taken-back")] == [another]
    place.fs.abort_mpu("videos", "taken-back/video.mp4", another)
    assert store.get(STORE_KEY)[f"{A}/0"]["upload"] != own


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from(OnExisting)), max_size=12))
def test_any_order(history: list[tuple[int, int, OnExisting]]) -> None:
    """
    Whatever lands under one name in any order, a file only gives way to who has written its bytes, or to "replace".

    Each step is a task, the generation that it lands, and its choice; the storage, the names and the notes are real.
    """
    stores = [FakeStore() for _ in range(3)]
    written: set[tuple[int, int]] = set()
    lies: int | None = None
    with tempfile.TemporaryDirectory() as folder:
        for task, generation, choice in history:
            landing = Prepared(lander(local(Path(folder)), stores[task], on_existing=choice))
            is_free = lies is None or choice is OnExisting.REPLACE or (task, lies) in written
            assert landing.lands(generation) == (is_free or lies == generation)
            if is_free and lies != generation:
                lies = generation
                written.add((task, generation))
            assert lies is not None
            assert (Path(folder) / "video.mp4").read_bytes() == body_of(lies)
            assert files_in(Path(folder)) == ["video.mp4"]


def body_of(generation: int) -> bytes:
    """What a generation has made."""
    return mp4(3000 + generation, str(generation))


@dataclass
class Prepared:
    """A landing whose results need not be fetched."""

    lander: Lander

    def lands(self, generation: int) -> bool:
        """Land a generation; say whether it lies there then."""
        result = Result(f"task-unified-{generation}", 0, "https://x.test/")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Lander, "_fetch", self._fetch)
            try:
                return self.lander.land(result) is not None
            except FileConflictError:
                return False

    @staticmethod
    def _fetch(_: Lander, result: Result, spool: Any) -> Download:
        body = body_of(int(result.generation_id[-1]))
        spool.write(body)
        return Download(len(body), _sha(body), MediaType("mp4", "video/mp4"))


def test_choices() -> None:
    """A choice that is none is refused by the parameter's name."""
    assert [on_existing_of(choice) for choice in ("fail", "replace", "skip")] == list(OnExisting)
    for wrong in ("overwrite", "", None, True, ["fail"]):
        with pytest.raises(LandingInputError, match=r"^on_existing=.*'fail' or 'replace' or 'skip'"):
            on_existing_of(wrong)


def test_advice_fits_the_pattern() -> None:
    """Who has the generation in the pattern is not told to put it there."""
    result = Result(A, 0, "https://x.test/")
    assert "filename_pattern" in conflict(result, "file:///v/video.mp4", None, "video.{ext}")
    text = conflict(result, "file:///v/x.mp4", A, "{generation_id}.{ext}")
    assert "filename_pattern" not in text
    assert "another file of generation" in text
