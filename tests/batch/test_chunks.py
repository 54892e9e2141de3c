# SPDX-License-Identifier: Apache-2.0
"""The ledger of a batch: chunks are read back, and what can't be read never counts as missing."""

from __future__ import annotations

import base64
import hashlib
import logging
import zlib
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.batch.entry import RowEntry
from airflow_provider_evolink.batch.ledger import ROWS_PER_CHUNK, BatchLedger, Chunk
from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.submission.record import LedgerRecord, Phase, fingerprint, new_idempotency_key
from tests.task_harness import FailingStore, Store

LOG = logging.getLogger(__name__)
INTENT = LedgerRecord(Phase.INTENT, "fp", "key-1", 1, "model", 100.0, send_count=1)
SUBMITTED = replace(INTENT, phase=Phase.SUBMITTED, generation_id="task-1", submitted_at=101.0)


def ledger(store: Any, copy: Any = None, *, try_number: int = 1, not_before: float = 0.0) -> BatchLedger:
    """Return the ledger as a try sees it."""
    return BatchLedger(store, "forever", "batch", try_number, copy, not_before, LOG)


def chunk(*entries: RowEntry, number: int = 0) -> Chunk:
    """Return a chunk with entries."""
    return Chunk(number, {entry.key: entry for entry in entries})


def packed(rows: str) -> dict[str, Any]:
    """Return what the store holds of a chunk whose rows are given as JSON."""
    return {"rows": base64.b64encode(zlib.compress(rows.encode())).decode()}


def rows_of(stored: Any) -> str:
    """Return the rows as JSON in what :func:`packed` returned."""
    return zlib.decompress(base64.b64decode(stored["rows"])).decode()


class Broken(Store):
    """A store that can't be read."""

    def get(self, key: str, default: Any = None) -> Any:
        """Fail."""
        raise RuntimeError("the API server is down")


def test_chunks_are_read_back_in_order() -> None:
    """Each try writes entries of its own, and reads the latest of each chunk."""
    store = Store()
    for number in range(3):
        ledger(store).write(chunk(RowEntry(f"A{number}", record=INTENT), number=number))
    ledger(store, try_number=2).write(chunk(RowEntry("A1", record=SUBMITTED), number=1))

    chunks = list(ledger(store, try_number=3).chunks())

    assert [list(each.rows) for each in chunks] == [["A0"], ["A1"], ["A2"]]
    assert chunks[1].rows["A1"].record == SUBMITTED
    assert list(ledger(store).chunks())[1].rows["A1"].record == INTENT
    assert ledger(store).read(3) is None
    assert ledger(store).ends_with(2, 1)
    assert not ledger(store).ends_with(1, 1)
    assert not ledger(store).ends_with(2, 0)
    assert ledger(Store()).ends_with(0, 0)


@pytest.mark.parametrize(
    "stored",
    [
        5,
        "text",
        [],
        {},
        {"rows": 5},
        {"rows": []},
        {"rows": ""},
        {"rows": "no base64"},
        {"rows": "bm90IGNvbXByZXNzZWQ="},
        packed("["),
        packed("{}"),
        packed("[5]"),
        packed('[{"key": 5}]'),
        packed("[{}]"),
        packed('[{"key": "A", "files": [{"index": 1e400}]}]'),
        {"rows": packed("[]")["rows"][:-4]},
    ],
)
def test_an_unreadable_chunk_does_not_count_as_missing(stored: Any) -> None:
    """It stops the try; it is not taken for the end of the ledger."""
    store = Store()
    store.set("batch-0", stored)

    with pytest.raises(LedgerError) as error:
        list(ledger(store).chunks())
    assert "'batch-0'" in str(error.value) or "row without a key" in str(error.value) or "files" in rows_of(stored)


def test_a_store_that_fails_does_not_count_as_empty() -> None:
    """If the store fails, nothing may be sent."""
    with pytest.raises(LedgerError, match="nothing was sent"):
        ledger(Broken()).read(0)
    with pytest.raises(LedgerError, match="API server is down"):
        ledger(FailingStore(1)).write(chunk(RowEntry("A")))


def test_the_copy_is_read_if_the_store_is_empty() -> None:
    """After a clear that empties the store, each row's latest submission comes from the copy."""
    copy = Store()
    ledger(Store(), copy).write(chunk(RowEntry("A", record=INTENT), RowEntry("B")))
    later = replace(INTENT, idempotency_key="key-2", intent_at=200.0)
    ledger(Store(), copy, try_number=2).write(chunk(RowEntry("B", record=later)))

    read = ledger(Store(), copy, try_number=3).read(0)

    assert read is not None
    assert read.rows == {"A": RowEntry("A", record=INTENT), "B": RowEntry("B", record=later)}
    assert ledger(Store(), copy, try_number=1).read(0) is None


def test_the_copy_of_a_deleted_run_is_ignored() -> None:
    """Submissions from before the run began belong to another run of the same name."""
    copy = Store()
    ledger(Store(), copy).write(chunk(RowEntry("A", record=INTENT), RowEntry("B")))

    assert ledger(Store(), copy, try_number=2, not_before=150.0).read(0) is None


def test_a_row_that_was_not_submitted_hides_no_submission() -> None:
    """Whichever try wrote it, and in whichever order."""
    for first, second in ((None, INTENT), (INTENT, None)):
        copy = Store()
        ledger(Store(), copy).write(chunk(RowEntry("A", record=first)))
        ledger(Store(), copy, try_number=2).write(chunk(RowEntry("A", record=second)))

        read = ledger(Store(), copy, try_number=3).read(0)

        assert read is not None
        assert read.rows["A"].record == INTENT


def test_an_id_that_only_the_copy_holds_is_found() -> None:
    """If the ids of a wave reached the copy only, its intents are not sent again."""
    store, copy = FailingStore(2), Store()
    written = ledger(store, copy)
    written.write(chunk(RowEntry("A", record=INTENT), RowEntry("B", record=replace(INTENT, idempotency_key="key-2"))))
    with pytest.raises(LedgerError):
        written.write(chunk(RowEntry("A", record=SUBMITTED), RowEntry("B", record=INTENT)))

    read = ledger(store, copy, try_number=2).read(0)

    assert read is not None
    assert read.rows["A"].record == SUBMITTED
    assert read.rows["B"].record == replace(INTENT, idempotency_key="key-2")


def test_files_that_only_the_copy_knows_are_found() -> None:
    """A row that has landed according to the copy has its files from there, too."""
    store, copy = FailingStore(2), Store()
    written = ledger(store, copy)
    landed = Landed("file:///a/0.mp4", 5, "ab" * 32, "video/mp4", "task-1", "mp4")
    finished = RowEntry("A", "A", replace(SUBMITTED, phase=Phase.FINISHED), ((0, landed),), credits_used=5.0)
    written.write(chunk(RowEntry("A", record=INTENT)))
    with pytest.raises(LedgerError):
        written.write(chunk(finished))

    for held in (store, Store()):
        read = ledger(held, copy, try_number=2).read(0)
        assert read is not None
        assert read.rows == {"A": finished}


def test_an_intent_that_was_refused_is_not_the_latest_in_the_copy() -> None:
    """A try that was superseded writes its intents to the copy first; it has sent nothing, and marks them so."""
    copy = Store()
    ledger(Store(), copy, try_number=2).write(chunk(RowEntry("A", record=SUBMITTED)))
    late = replace(INTENT, idempotency_key="late", intent_at=500.0)
    with pytest.raises(LedgerError):
        ledger(FailingStore(1), copy).write(chunk(RowEntry("A", record=late)), first_sends={"A"})

    read = ledger(Store(), copy, try_number=3).read(0)

    assert read is not None
    assert read.rows["A"].record == SUBMITTED


def test_a_copy_that_fails_does_not_stop_the_task() -> None:
    """The task carries on with the store alone."""
    store = Store()
    ledger(store, FailingStore(1, 2, 3)).write(chunk(RowEntry("A", record=INTENT)))

    assert ledger(store, Broken(), try_number=2).read(0) == chunk(RowEntry("A", record=INTENT))


def digits(seed: str, length: int) -> str:
    """Return hexadecimal digits that don't compress."""
    return hashlib.sha512(seed.encode()).hexdigest()[:length]


def landed_row(number: int, files: int) -> RowEntry:
    """Return a row with realistic values, of which ids, digests, sizes and times are its own."""
    submitted_at = 1795786842 + int(digits(f"time {number}", 6), 16) / 1000
    generation_id = f"task-unified-{int(submitted_at)}-{digits(f'id {number}', 8)}"
    record = replace(
        SUBMITTED,
        phase=Phase.FINISHED,
        fingerprint=fingerprint(str(number))[:32],
        idempotency_key=new_idempotency_key(),
        model="gemini-omni-flash-image-to-video",
        intent_at=submitted_at,
        submitted_at=submitted_at,
        generation_id=generation_id,
        credits_reserved=102.3456,
        estimated_time=60.5,
        api_key_digest=digits(f"key {number}", 16),
        last_sent_at=submitted_at,
        max_tries=3,
    )
    folder = f"s3://aws_media@a-bucket-with-a-long-name/2026-11-27/products/SKU-{number:08d}"
    size = 1_000_000 + int(digits(f"size {number}", 6), 16)
    landed = [
        Landed(
            f"{folder}/{index}.mp4", size + index, digits(f"{number} {index}", 64), "video/mp4", generation_id, "mp4"
        )
        for index in range(files)
    ]
    pattern = f"SKU-{number:08d}/{{index}}.{{ext}}"
    seconds = 60 + submitted_at % 1
    return RowEntry(f"SKU-{number:08d}", pattern, record, tuple(enumerate(landed)), (), 100.0, seconds=seconds)


@pytest.mark.parametrize(("files", "most"), [(0, 20), (1, 30), (4, 56)])
def test_a_full_chunk_is_small(files: int, most: int) -> None:
    """A hundred rows with realistic values stay well below what Airflow considers large, 64 KiB."""
    store = Store()
    entries = [landed_row(number, files) for number in range(ROWS_PER_CHUNK)]

    ledger(store).write(chunk(*entries))

    assert most / 2 < len(store.held["batch-0"]) / 1024 < most
    assert Chunk(0).room - len(entries) == 0


def test_one_picture_costs_a_chunk_little() -> None:
    """Rows whose media have one link take hardly more space than without one, and the copy has it too."""
    sizes = []
    for links in (None, {f"sha256:{'a' * 64}": "https://files.evolink.ai/images/0123456789abcdef.png"}):
        records = [replace(INTENT, idempotency_key=new_idempotency_key(), media_links=links) for _ in range(100)]
        entries = [RowEntry(f"A{number}\ud800", record=record) for number, record in enumerate(records)]
        store, copy = Store(), Store()
        ledger(store, copy).write(chunk(*entries))
        assert ledger(store).read(0) == ledger(Store(), copy, try_number=2).read(0) == chunk(*entries)
        sizes.append(len(store.held["batch-0"]))

    assert sizes[1] - sizes[0] < 100 * 10


def test_a_worker_does_not_ask_for_what_it_has_just_stored() -> None:
    """A store that can't be read any more still leaves it what it wrote itself, as it was written."""
    written = ledger(Broken())
    stored = chunk(RowEntry("A1", record=INTENT))
    written.write(stored)
    stored.put(RowEntry("A1", record=SUBMITTED))

    known = written.read(0)

    assert known is not None
    assert known.rows["A1"].record == INTENT
    with pytest.raises(LedgerError, match="could not be read"):
        written.read(1)


class AnswerLost(FailingStore):
    """A store that keeps what it is given, though the answer to a chosen write is lost."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a value, and fail if this write was chosen."""
        Store.set(self, key, value, retention=retention)
        super().set(key, value, retention=retention)


@pytest.mark.parametrize(("store", "expected"), [(FailingStore(2), INTENT), (AnswerLost(2), SUBMITTED)])
def test_after_a_failed_write_the_store_is_asked(store: FailingStore, expected: LedgerRecord) -> None:
    """Whether it has been written only the store knows."""
    written = ledger(store)
    written.write(chunk(RowEntry("A1", record=INTENT)))
    with pytest.raises(LedgerError, match="could not be written"):
        written.write(chunk(RowEntry("A1", record=SUBMITTED)))

    known = written.read(0)

    assert known is not None
    assert known.rows["A1"].record == expected


def test_a_worker_remembers_a_limited_number_of_chunks() -> None:
    """A batch of any size takes the same memory."""
    written = ledger(Broken())
    for number in range(30):
        written.write(chunk(RowEntry(f"A{number}", record=INTENT), number=number))
    with pytest.raises(LedgerError, match="could not be read"):
        written.read(0)
    assert written.read(29) is not None
