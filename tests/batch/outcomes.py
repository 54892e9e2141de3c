# SPDX-License-Identifier: Apache-2.0
"""What a batch has paid for, and whether its manifest tells the truth about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from tests.batch.batches import manifest


def charges(emulator: EmulatorHandle) -> Counter[str]:
    """Return how many generations EvoLink has charged for, or will, by prompt."""
    ended_well = {"completed", "pending", "processing"}
    return Counter(
        generation["prompt"]
        for generation in emulator.control.state()["generations"]
        if generation["status"] in ended_well
    )


def submissions(emulator: EmulatorHandle) -> int:
    """Return how many submissions have arrived at EvoLink."""
    count: int = emulator.control.state()["requests"]["submit"]
    return count


def failure_of(attempt: Callable[..., Any], *args: Any) -> EvoLinkError:
    """Return the error that an attempt ends with."""
    try:
        summary = attempt(*args)
    except EvoLinkFailException as error:
        return error.error
    except EvoLinkError as error:
        return error
    raise AssertionError(f"succeeded: {summary}")


def lines_of(failure: EvoLinkError) -> dict[str, dict[str, Any]]:
    """Return the lines of the manifest that an error names, by key."""
    return {line["key"]: line for line in manifest({"manifest": failure.manifest})}  # type: ignore[attr-defined]


def assert_true(lines: Sequence[dict[str, Any]], emulator: EmulatorHandle) -> None:
    """Check that every landed row has its files, with the right hash, made from its own prompt."""
    made = {generation["id"]: generation for generation in emulator.control.state()["generations"]}
    for line in lines:
        if line["status"] != "landed":
            continue
        assert made[line["generation_id"]]["status"] == "completed"
        assert line["uris"]
        for uri, size, sha256 in zip(line["uris"], line["bytes"], line["sha256"], strict=True):
            content = Path(uri.removeprefix("file://")).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)


def assert_all_landed(summary: dict[str, Any], rows: Sequence[dict[str, Any]], emulator: EmulatorHandle) -> None:
    """Check that every row has landed, that the manifest is whole and true, and that each row was charged once."""
    lines = manifest(summary)
    assert [line["key"] for line in lines] == [row["sku"] for row in rows]
    assert {line["status"] for line in lines} == {"landed"}
    assert (summary["total"], summary["landed"]) == (len(rows), len(rows))
    assert_true(lines, emulator)
    assert charges(emulator) == Counter(row["prompt"] for row in rows)
    used = emulator.control.state()["credits"]["charged"]
    assert abs(summary["credits_used"] - used) < 0.01
    assert summary["credits_reserved"] == 0
