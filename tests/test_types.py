# SPDX-License-Identifier: Apache-2.0
"""The public typed dictionaries describe what is really returned and written, field by field; so does the page."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.execution.paying_call import GenerateOptions
from airflow_provider_evolink.types import (
    BatchSummary,
    GenerationRecord,
    LandedFile,
    ManifestLine,
    RecoveryFailure,
    RecoverySummary,
    RowError,
    UploadRecord,
    Usage,
)
from scripts import docs_tables
from tests.batch.batches import batch, manifest, rows
from tests.batch.batches import run as run_batch
from tests.operators.landings import LandingHarness
from tests.operators.submissions import operator
from tests.task_harness import TaskHarness, TaskInstance

TYPES = (
    *(GenerationRecord, Usage, LandedFile, UploadRecord),
    *(BatchSummary, ManifestLine, RowError, RecoverySummary, RecoveryFailure),
)


def problems(value: object, expected: Any, where: str = "") -> Iterator[str]:
    """Yield how a value differs from a type; a dictionary must have just the fields of its typed one."""
    if is_typeddict(expected):
        yield from _of_fields(value, expected, where)
    elif get_origin(expected) in (Union, types.UnionType):
        if all(any(problems(value, option)) for option in get_args(expected)):
            yield f"{where} is {value!r}, not {expected}"
    elif get_origin(expected) is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(item, get_args(expected)[0], f"{where}[{index}]")
    elif not _is_a(value, expected):
        yield f"{where} is {value!r}, not {expected}"


def _is_a(value: object, expected: Any) -> bool:
    if expected is Any:
        return True
    expected = (int, float) if expected is float else get_origin(expected) or expected
    return isinstance(value, expected) and not (isinstance(value, bool) and expected is not bool)


def _of_fields(value: object, expected: Any, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where} is {value!r}, not a mapping"
        return
    hints = get_type_hints(expected)
    yield from (f"{where}.{name} is missing" for name in expected.__required_keys__ - set(value))
    yield from (f"{where}.{name} is not a field" for name in set(value) - set(hints))
    for name in set(value) & set(hints):
        yield from problems(value[name], hints[name], f"{where}.{name}")


def test_the_check_can_fail() -> None:
    """It notices a missing field, one too many, and a wrong type, also inside of a list."""
    usage = {"credits_reserved": 1.0, "credits_used": None, "billing_rule": None}
    file = {"uri": "file:///a", "bytes": 1, "sha256": "", "content_type": "", "generation_id": ""}

    assert not list(problems(usage, Usage))
    assert list(problems({**usage, "credits_used": True}, Usage))
    assert list(problems({**usage, "more": 1}, Usage))
    assert list(problems({}, Usage))
    assert list(problems([file, {**file, "bytes": "1"}], list[LandedFile]))


def test_a_record(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """A record is what ``GenerationRecord`` says: of a landed, a resumed and an unfinished generation."""
    harness = LandingHarness()
    landed = harness.run(operator(destination=str(tmp_path)))
    resumed = harness.retry(operator(destination=str(tmp_path)))
    emulator.control.inject("lost_response", on="submit")
    sent_twice = TaskHarness(TaskInstance(run_id="sent twice")).run(operator())
    unfinished = TaskHarness(TaskInstance(run_id="unfinished")).run(operator(wait_for_completion=False))
    emulator.control.inject("result_data_only", on="submit")
    structured = TaskHarness(TaskInstance(run_id="structured")).run(operator())

    for record in (landed, resumed, sent_twice, unfinished, structured):
        assert list(problems(record, GenerationRecord)) == []
    assert landed["landed"]
    assert sent_twice["replay"] == "confirmed"
    assert unfinished["finished_at"] is None


def test_a_batch(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path, quick: None, no_pauses: None) -> None:
    """A summary and each line of a manifest are what the types say, also of rows that failed or were skipped."""
    emulator.control.inject("generation_failed", on="submit")
    (tmp_path / "A2-0.mp4").write_bytes(b"there already")
    table = [*rows(3), {"sku": "A3", "prompt": "", "duration": 3}]

    summary = run_batch(harness, batch(table, tmp_path, max_failed=3, on_invalid="skip"))

    assert list(problems(summary, BatchSummary)) == []
    lines = manifest(summary)
    assert {line["status"] for line in lines} == {"landed", "skipped", "failed"}
    for line in lines:
        assert list(problems(line, ManifestLine)) == []


@pytest.mark.parametrize("typed", TYPES, ids=lambda typed: typed.__name__)
def test_every_field_is_described(typed: Any) -> None:
    """The reference has each field in order, and says of just those that are not required that the field is missing."""
    [section] = re.findall(rf"^## {typed.__name__}\n(.*?)(?=^## |\Z)", docs_tables.records(), re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `(\w+)` \| `[^|]+` \| ([^|]+) \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)

    assert [name for name, _ in listed] == list(get_type_hints(typed))
    assert {name for name, absent in listed if "the field is missing" in absent} == set(typed.__optional_keys__)


def test_the_page_describes_the_options() -> None:
    """The page about Python names each optional argument of ``generate``."""
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")

    assert [name for name in GenerateOptions.__annotations__ if f"`{name}" not in page] == []
