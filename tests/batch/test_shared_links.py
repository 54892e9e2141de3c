# SPDX-License-Identifier: Apache-2.0
"""The links of media in a chunk: stored once, and read back as each row had them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import LedgerError
from airflow_provider_evolink.batch.entry import RowEntry
from airflow_provider_evolink.batch.ledger import ROWS_PER_CHUNK, BatchLedger, Chunk
from airflow_provider_evolink.batch.shared_links import share_links, with_own_links
from airflow_provider_evolink.submission.record import LedgerRecord, Phase
from tests.task_harness import Store

LINKS = st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y"]), min_size=1)


def rows(*links: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return the stored forms of rows with these links."""
    given_links = [{} if each is None else {"media_links": each} for each in links]
    return [{"key": str(number), "record": {"phase": "intent", **each}} for number, each in enumerate(given_links)]


@given(st.lists(LINKS))
def test_any_links_are_read_back(links: list[dict[str, str] | None]) -> None:
    """Every row gets back its own links, also where a renewed link has the same content as an older one."""
    given_rows = [*rows(*links), {"key": "without a record"}]

    stored = json.loads(json.dumps(share_links(given_rows)))

    assert with_own_links(stored) == given_rows
    assert with_own_links({"rows": given_rows}) == given_rows


@pytest.mark.parametrize("positions", [[1], ["0"], 0, [[]]])
def test_damaged_positions_stop_the_task(positions: Any) -> None:
    """A chunk whose links can't be found is not read as one without links."""
    damaged = {"rows": [{"key": "A", "record": {"media_links": positions}}], "media_links": [["a", "x"]]}
    with pytest.raises(LedgerError, match="nothing was sent"):
        with_own_links(damaged)


def ledger(store: Store, *, copy: Store | None = None, try_number: int = 1) -> BatchLedger:
    """Return a ledger in memory."""
    return BatchLedger(store, None, "evolink-batch", try_number, copy, 0.0, logging.getLogger("batch"))


def entry(key: str, link: str = "https://files.evolink.ai/images/0123456789abcdef.png") -> RowEntry:
    """Return a row that is about to be sent with one picture."""
    record = LedgerRecord(Phase.INTENT, "f" * 32, f"airflow-{key:0>32}", 1, "some-model", 1.0, send_count=1)
    links = {f"sha256:{'a' * 64}": link}
    return RowEntry(key, record=record.__class__(**{**_fields(record), "media_links": links, "media_expire_at": 9.0}))


def _fields(record: LedgerRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def test_one_picture_costs_a_chunk_little() -> None:
    """Fifty rows with one picture store its link once."""
    sizes = []
    for shared in (True, False):
        store, chunk = Store(), Chunk(0)
        for number in range(ROWS_PER_CHUNK):
            chunk.put(entry(str(number), *([] if shared else [f"https://files.evolink.ai/images/{number:0>60}.png"])))
        ledger(store).write(chunk)
        found = ledger(store).read(0)
        assert found is not None
        assert found.rows == chunk.rows
        sizes.append(len(store.held["evolink-batch-0"]))

    assert sizes[1] - sizes[0] > 40 * 100
    assert sizes[0] < 20_000


def test_the_copy_has_the_links_too() -> None:
    """After a clear that empties the store, and where only the copy knows an id, the links are still there."""
    store, copy, chunk = Store(), Store(), Chunk(0)
    for key in "AB":
        chunk.put(entry(key))
    ledger(store, copy=copy).write(chunk)

    for try_number in (1, 2):
        found = ledger(store, copy=copy, try_number=try_number).read(0)
        assert found is not None
        assert found.rows == chunk.rows
        store.held.clear()
