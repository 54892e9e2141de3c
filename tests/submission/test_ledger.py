# SPDX-License-Identifier: Apache-2.0
"""The record of a task instance: what is stored is read back, and what can't be read never counts as missing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.submission.decision import Policy, decide
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.record import (
    STORE_KEY,
    LedgerError,
    LedgerRecord,
    Phase,
    fingerprint,
    new_idempotency_key,
)
from tests import hostile

INTENT = LedgerRecord(Phase.INTENT, "fp", "airflow-key", 1, "some-model", 100.0, send_count=1)
SUBMITTED = replace(
    INTENT, phase=Phase.SUBMITTED, generation_id="task-unified-1", submitted_at=101.0, credits_reserved=102.34
)
RESULT = {"generation_id": "task-unified-1", "status": "completed", "results": [], "expires_at": None, "usage": {}}
FINISHED = replace(SUBMITTED, phase=Phase.FINISHED, max_tries=0, result={**RESULT, "usage": {"credits_used": 7}})
FAILED = replace(SUBMITTED, phase=Phase.FAILED, error_code="service_error", max_tries=0)
WITH_MEDIA = replace(INTENT, media_links={"sha256:ab": "https://files.test/a.png"}, media_expire_at=500.0)
WITHDRAWN = replace(INTENT, phase=Phase.WITHDRAWN, submission_number=3, previous_ids=("task-unified-0",))


@pytest.mark.parametrize("record", [INTENT, SUBMITTED, FINISHED, FAILED, WITHDRAWN, WITH_MEDIA])
def test_records_survive_being_stored(record: LedgerRecord) -> None:
    """A record is read back as it was written, and fields of a later version are ignored."""
    stored = record.to_json()

    assert LedgerRecord.from_json(stored) == record
    assert LedgerRecord.from_json({**stored, "of_a_later_version": 1}) == record
    assert None not in stored.values()


class Memory:
    """A task state store in memory that fails on demand."""

    def __init__(self, stored: Any = None) -> None:
        self.stored = stored
        self.is_broken = False

    def get(self, key: str, default: Any = None) -> Any:
        """Return the stored value."""
        if self.is_broken:
            raise RuntimeError("API server is down")
        assert key == STORE_KEY
        return default if self.stored is None else self.stored

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a value that is to be kept forever."""
        if self.is_broken:
            raise RuntimeError("API server is down")
        assert retention == "forever"
        self.stored = value


@pytest.mark.parametrize(
    "stored",
    [
        "text",
        5,
        [],
        {},
        {"phase": "unknown"},
        {**INTENT.to_json(), "phase": None},
        {**INTENT.to_json(), "submission_number": "2"},
        {**INTENT.to_json(), "idempotency_key": 5},
        {**INTENT.to_json(), "phase": "submitted"},
        {**INTENT.to_json(), "media_links": ["https://files.test/a.png"]},
        {**INTENT.to_json(), "media_links": {"sha256:ab": 1}},
        {**INTENT.to_json(), "media_expire_at": "soon"},
    ],
)
def test_an_unreadable_record_does_not_count_as_missing(stored: Any) -> None:
    """An unreadable entry stops the try; it is not taken for an empty ledger."""
    with pytest.raises(LedgerError, match="nothing was sent"):
        Ledger(Memory(stored), "forever").read()


@settings(max_examples=300)
@example({**INTENT.to_json(), "previous_ids": [[]]}, Policy())
@example({**FAILED.to_json(), "error": True}, Policy())
@example({**SUBMITTED.to_json(), "credits_reserved": "many"}, Policy())
@given(
    hostile.corrupted(*(record.to_json() for record in (INTENT, SUBMITTED, FINISHED, FAILED, WITHDRAWN, WITH_MEDIA))),
    st.builds(
        Policy,
        st.sampled_from(["replay", "fail"]),
        st.sampled_from(["reuse", "resubmit"]),
        st.sampled_from(["fail", "resubmit"]),
    ),
)
def test_any_stored_value_is_a_record_that_can_be_decided_on_or_refused(stored: Any, policy: Policy) -> None:
    """A ledger that was edited, or written by a later version, either stops the try or works entirely."""
    try:
        record = LedgerRecord.from_json(stored)
    except LedgerError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        return
    json.dumps(record.to_json(), allow_nan=False)
    for request_ in (record.fingerprint, "other"):
        decide(record, request_, None, policy, cleared=False, now=200.0)
    if record.result is not None:
        assert all(isinstance(link, str) for link in record.result["results"])


def test_an_invalid_stored_result_is_dropped() -> None:
    """A result that could not be returned is read from EvoLink again, since the generation is known."""
    for broken in ({}, {**RESULT, "usage": None}, {**RESULT, "results": [5]}, {"results": []}):
        assert LedgerRecord.from_json({**FINISHED.to_json(), "result": broken}) == replace(FINISHED, result=None)


def test_a_store_that_fails_does_not_count_as_empty() -> None:
    """If the store fails, nothing may be sent."""
    store = Memory()
    store.is_broken = True

    with pytest.raises(LedgerError, match="nothing was sent"):
        Ledger(store, "forever").read()
    with pytest.raises(LedgerError, match="API server is down"):
        Ledger(store, "forever").write(INTENT)


def test_an_empty_store_is_no_record() -> None:
    """A first try finds nothing, and the next one finds what it wrote."""
    ledger = Ledger(Memory(), "forever")

    assert ledger.read() is None
    ledger.write(SUBMITTED)
    assert ledger.read() == SUBMITTED


def test_fingerprints_depend_on_the_boundaries_of_parts() -> None:
    """Parts do not run into each other; text and bytes have the same digest."""
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("ab") == fingerprint(b"ab")


def test_each_submission_has_its_own_idempotency_key() -> None:
    """An idempotency key has the form that EvoLink accepts, and never repeats."""
    keys = {new_idempotency_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{16,96}", key) for key in keys)
