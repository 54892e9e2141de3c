# SPDX-License-Identifier: Apache-2.0
"""The ledger in numbered files: whoever has not read the newest record writes nothing, and so pays for nothing."""

from __future__ import annotations

import gc
import itertools
import json
import threading
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.batch.entry import RowEntry
from airflow_provider_evolink.batch.ledger import to_stored
from airflow_provider_evolink.landing.create_only import CreateOnlyFolder
from airflow_provider_evolink.landing.storage_target import StorageTarget
from airflow_provider_evolink.submission.entries import ABSENT
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from airflow_provider_evolink.submission.record_log import NumberedRecords, RecordError, Writer, file_name

INTENT = LedgerRecord(Phase.INTENT, "fp", "airflow-key", 1, "some-model", 100.0, send_count=1)
# Ids of tries as Airflow makes them: sortable by time.
FIRST_ID, SECOND_ID, NEW_RUN_ID = (f"0198c0de-000{number}-7000-8000-000000000000" for number in (1, 2, 3))


@dataclass
class Task:
    """A task instance whose tries share a folder."""

    path: Path
    folders: list[FaultyFolder] = field(default_factory=list)

    def attempt(self, number: int = 1, try_id: str = "", **faults: Any) -> NumberedRecords:
        """Return the store of a try in a process of its own.

        :param faults: of its folder.
        """
        target = StorageTarget(fsspec.filesystem("file"), str(self.path / "task"), "file")
        folder = FaultyFolder(CreateOnlyFolder(target), **faults)
        self.folders.append(folder)
        return NumberedRecords(lambda: folder, Writer({"task_id": "task"}, number, try_id))

    def ledger(self, number: int = 1, try_id: str = "", **faults: Any) -> Ledger:
        """Return the ledger of a try in a process of its own."""
        return Ledger(self.attempt(number, try_id, **faults), None, try_number=number)

    def files(self, name: str = "evolink") -> list[str]:
        """Return the names of the records."""
        return sorted(path.name for path in (self.path / "task" / name).iterdir())

    def record(self, number: int, name: str = "evolink") -> dict[str, Any]:
        """Return what is in a file."""
        record: dict[str, Any] = json.loads((self.path / "task" / name / f"{number:06d}.json").read_bytes())
        return record


@dataclass
class FaultyFolder:
    """A folder whose storage loses answers, or loses what is sent to it.

    :param lost_answers: how many of the next creations succeed and are reported as failed.
    :param lost_requests: how many of the next creations fail.
    """

    inner: CreateOnlyFolder
    lost_answers: int = 0
    lost_requests: int = 0
    reads: list[str] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return self.inner.uri

    def __truediv__(self, name: str) -> Any:
        return _Inside(self.inner / name, self)

    def names(self) -> list[str]:
        return self.inner.names()

    def read(self, name: str) -> bytes:
        return self.inner.read(name)

    def create(self, name: str, data: bytes) -> None:
        self.inner.create(name, data)


@dataclass
class _Inside(FaultyFolder):
    """A folder in a faulty one, whose faults it shares."""

    def __init__(self, inner: CreateOnlyFolder, outer: FaultyFolder) -> None:
        super().__init__(inner)
        self.outer = outer

    def names(self) -> list[str]:
        self.outer.reads.append("list")
        return self.inner.names()

    def read(self, name: str) -> bytes:
        self.outer.reads.append(name)
        return self.inner.read(name)

    def create(self, name: str, data: bytes) -> None:
        if self.outer.lost_requests:
            self.outer.lost_requests -= 1
            raise OSError("the storage is down")
        self.inner.create(name, data)
        if self.outer.lost_answers:
            self.outer.lost_answers -= 1
            raise OSError("timed out")


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A task instance."""
    return Task(tmp_path)


def test_the_newest_record_counts(task: Task) -> None:
    """What a try has written is read by the next ones, each of which appends to the same log."""
    assert task.ledger().read() is None
    for number in (1, 2, 4):
        task.ledger(number).write(replace(INTENT, try_number=number))
        assert task.ledger(number + 1).read() == replace(INTENT, try_number=number)

    assert task.files() == ["000001.json", "000002.json", "000003.json"]
    assert [task.record(number)["try_number"] for number in (1, 2, 3)] == [1, 2, 4]


def test_a_worker_that_resumes_goes_on(task: Task) -> None:
    """Two workers of one try, before and after a deferral, write one log."""
    task.ledger(1, FIRST_ID).write(INTENT)
    resumed = task.ledger(1, FIRST_ID)

    assert resumed.read() == INTENT
    resumed.write(replace(INTENT, send_count=2))
    assert task.ledger(2, SECOND_ID).read() == replace(INTENT, send_count=2)


@pytest.mark.parametrize("earlier_writes_first", [True, False])
def test_of_two_tries_at_once_one_pays(task: Task, earlier_writes_first: bool) -> None:
    """Both have read, and whichever writes second sends nothing; its retry finds the intent of the first."""
    tries = [task.ledger(1), task.ledger(2)]
    assert [ledger.read() for ledger in tries] == [None, None]
    first, second = tries if earlier_writes_first else reversed(tries)
    first.write(INTENT)

    for _ in range(3):
        with pytest.raises(LedgerError, match="written by somebody else"):
            second.write(replace(INTENT, idempotency_key="airflow-other"))
    assert task.ledger(3).read() == INTENT
    first.write(replace(INTENT, send_count=2))


@pytest.mark.parametrize("name", ["evolink", "evolink-batch-7"])
def test_eight_writers_at_once(task: Task, name: str) -> None:
    """Exactly one of eight tries that have read the same writes, again and again."""
    for round_number in range(1, 6):
        stores, start = [task.attempt(9) for _ in range(8)], threading.Barrier(8)
        for store in stores:
            store.get(name)

        def write(store: NumberedRecords, start: threading.Barrier = start, number: int = round_number) -> bool:
            start.wait()
            try:
                store.set(name, {"round": number})
            except RecordError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(write, stores)).count(True) == 1
        assert task.files(name) == [f"{number:06d}.json" for number in range(1, round_number + 1)]


def test_a_late_worker_that_reads_after_a_later_try_is_stopped(task: Task) -> None:
    """It finds a record of a later try than its own, and neither reads nor writes anything."""
    task.ledger(2).write(INTENT)

    late = task.ledger(1)
    with pytest.raises(LedgerError, match=r"try 2 of this task .* try 1"):
        late.read()
    with pytest.raises(LedgerError, match="superseded"):
        late.write(replace(INTENT, idempotency_key="airflow-late"))
    assert task.files() == ["000001.json"]


def test_a_late_worker_of_a_batch_is_stopped_at_any_chunk(task: Task) -> None:
    """A chunk that it has not read yet is no way around."""
    late = task.attempt(1)
    late.get("evolink-batch-0")
    task.attempt(2).set("evolink-batch-1.2", {"rows": []})

    with pytest.raises(RecordError, match="superseded"):
        late.set("evolink-batch-1", {"rows": []})


def test_a_lost_answer_is_found_out(task: Task) -> None:
    """If the record is there although its creation was reported as failed, the next write takes the next number."""
    ledger = task.ledger(lost_answers=2)
    ledger.read()
    for count in (1, 2):
        with pytest.raises(LedgerError, match="timed out"):
            ledger.write(replace(INTENT, send_count=count))
    ledger.write(replace(INTENT, send_count=3))

    assert task.ledger(2).read() == replace(INTENT, send_count=3)
    assert [task.record(int(name[:6]))["value"]["send_count"] for name in task.files()] == [1, 2, 3]


def test_a_repeated_request_is_no_conflict(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends its request again finds its own record, which counts as written."""
    create = CreateOnlyFolder.create

    def create_twice(folder: CreateOnlyFolder, name: str, data: bytes) -> None:
        create(folder, name, data)
        create(folder, name, data)

    monkeypatch.setattr(CreateOnlyFolder, "create", create_twice)
    ledger = task.ledger()
    ledger.write(INTENT)
    ledger.write(replace(INTENT, send_count=2))

    assert task.files() == ["000001.json", "000002.json"]


def test_a_lost_answer_does_not_hide_another_try(task: Task) -> None:
    """The same number written by another try is not taken for one's own, even with the same content."""
    ledger = task.ledger(2, lost_requests=1)
    ledger.read()
    with pytest.raises(LedgerError, match="the storage is down"):
        ledger.write(INTENT)
    task.ledger(2).write(INTENT)

    with pytest.raises(LedgerError, match="somebody else"):
        ledger.write(INTENT)


def test_a_run_made_anew_starts_with_nothing(task: Task) -> None:
    """The first try of a new run finds a deleted run's records, and forgets them for all tries after it."""
    old = task.ledger(1, FIRST_ID)
    old.write(INTENT)
    for chunk in range(3):
        task.attempt(3, SECOND_ID).set(f"evolink-batch-{chunk}.3", {"rows": [chunk]})

    assert task.ledger(1, NEW_RUN_ID).read() is None
    assert task.ledger(2, f"{NEW_RUN_ID}0").read() is None
    retry = task.attempt(2, f"{NEW_RUN_ID}0")
    assert [retry.get(f"evolink-batch-{chunk}", ABSENT) for chunk in range(3)] == [ABSENT] * 3
    # The worker of the deleted run is still there.
    with pytest.raises(LedgerError, match="somebody else"):
        old.write(replace(INTENT, send_count=2))
    assert task.record(1)["value"] == INTENT.to_json()


def test_a_late_first_try_is_not_taken_for_a_new_run(task: Task) -> None:
    """A first try that wakes up after the second has written finds an id later than its own, and stops."""
    task.ledger(2, SECOND_ID).write(INTENT)

    with pytest.raises(LedgerError, match="superseded"):
        task.ledger(1, FIRST_ID).read()
    assert task.files() == ["000001.json"]


def test_a_first_try_of_a_deleted_run_is_stopped(task: Task) -> None:
    """A worker of a deleted run that wakes up after the new run has begun writes nothing."""
    task.ledger(1, NEW_RUN_ID).write(INTENT)

    with pytest.raises(LedgerError, match="superseded"):
        task.ledger(1, FIRST_ID).read()


def test_each_name_is_read_once(task: Task) -> None:
    """One listing and one read per name and process, however often it is asked for."""
    task.ledger(1).write(INTENT)
    ledger = task.ledger(2)
    for _ in range(3):
        assert ledger.read() == INTENT
        ledger.write(INTENT)

    assert task.folders[-1].reads == ["list", "000001.json"]


@pytest.mark.parametrize("is_written", [False, True])
def test_what_is_remembered_takes_little_memory(task: Task, is_written: bool) -> None:
    """What a try knows of a large batch, some 25 kB for each hundred rows, takes less than that."""
    rows = [RowEntry(f"A{number}", uuid.uuid4().hex + uuid.uuid4().hex) for number in range(400)]
    chunk = to_stored(rows)
    names = [f"evolink-batch-{number}" for number in range(20)]
    writer = task.attempt()
    for name in names:
        writer.set(name, chunk)
    size = len(names) * len(json.dumps(chunk))
    store = task.attempt(2)
    store.get("other")
    tracemalloc.start()
    for name in names:
        store.set(name, chunk) if is_written else store.get(name)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 0.85 * size
    assert all(store.get(name) == chunk for name in names)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"try_number": 1}', b'{"try_number": "1", "try_id": ""}', b"[" * 100_000]
)
def test_an_unreadable_record_is_not_missing(task: Task, content: bytes) -> None:
    """Whatever is in the newest file, nothing is sent if it is no record, and the error names the file."""
    task.ledger(1).write(INTENT)
    (task.path / "task" / "evolink" / "000002.json").write_bytes(content)

    with pytest.raises(LedgerError, match=r"000002\.json.* nothing was sent"):
        task.ledger(2).read()


def test_other_files_are_ignored(task: Task) -> None:
    """What a killed write leaves behind, and what people put there, is no record."""
    task.ledger(1).write(INTENT)
    for name in (".000002.json-ab12.part", "notes.txt", "2.json", "000009.json.bak"):
        (task.path / "task" / "evolink" / name).write_text("?")

    assert task.ledger(2).read() == INTENT


def test_more_than_a_million_records(task: Task) -> None:
    """Numbers are compared as numbers."""
    task.ledger(1).write(INTENT)
    folder = task.path / "task" / "evolink"
    for number in (999_999, 1_000_000):
        (folder / f"{number:06d}.json").write_bytes((folder / "000001.json").read_bytes())
    ledger = task.ledger(2)

    assert ledger.read() == INTENT
    ledger.write(INTENT)
    assert "1000001.json" in task.files()


@given(first=st.text(max_size=300), second=st.text(max_size=300))
def test_names_of_files(first: str, second: str) -> None:
    """Any id becomes a name of a file that is like no other's, leads nowhere else, and is short enough."""
    names = file_name(first), file_name(second)
    for name in names:
        assert 0 < len(name.encode()) <= 100
        assert name.isascii()
        assert "/" not in name
        assert not name.startswith(".")
    assert (names[0].lower() == names[1].lower()) == (first == second)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("make_video", "make_video"),
        ("group.task-1", "group.task-1"),
        ("manual__2026-11-23T00:00:00+00:00", "manual__2026-11-23T00-00-00-00-00~"),
        ("Straße", "Stra-e~"),
        ("..", "~"),
        ("x/../../y", "x-..-..-y~"),
    ],
)
def test_a_person_finds_a_folder(text: str, start: str) -> None:
    """The name of a folder says what it belongs to."""
    assert file_name(text).startswith(start)
    assert (file_name(text) == text) == (start == text)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["read", "write", "lose the answer", "lose the request"])),
        max_size=30,
    )
)
def test_every_write_follows_what_its_writer_has_read(steps: list[tuple[int, str]]) -> None:
    """Whatever five tries do in whatever order, each record was written by somebody who knew all before it."""
    with TemporaryDirectory() as folder:
        for before, after in itertools.pairwise(records_after(Task(Path(folder)), steps)):
            assert set(before["value"]["known"]) < set(after["value"]["known"])
            assert before["try_number"] <= after["try_number"]


def records_after(task: Task, steps: list[tuple[int, str]]) -> list[dict[str, Any]]:
    """Let five tries take steps; each writes everything that it knows, and what only it can know."""
    stores = [task.attempt(number + 1) for number in range(5)]
    knows: list[set[int]] = [set() for _ in stores]
    for step, (number, what) in enumerate(steps):
        store, folder = stores[number], task.folders[number]
        folder.lost_answers, folder.lost_requests = what == "lose the answer", what == "lose the request"
        try:
            knows[number] |= set(store.get("evolink", {"known": []})["known"])
            if what != "read":
                store.set("evolink", {"known": sorted({*knows[number], step})})
                knows[number].add(step)
        except (RecordError, OSError):
            if what == "lose the answer":
                knows[number].add(step)

    folder_of_records = task.path / "task" / "evolink"
    return [json.loads(path.read_bytes()) for path in sorted(folder_of_records.glob("*.json"))]
