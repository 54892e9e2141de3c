# SPDX-License-Identifier: Apache-2.0
"""``airflow evolink collect``: land finished generations, whoever submitted them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.generation import EXAMPLE_ID, may_be_generation_id
from airflow_provider_evolink.batch.entry import Status
from airflow_provider_evolink.cli.running import (
    DONE,
    FAILED,
    NOT_DONE,
    command,
    complain,
    naming_account,
    open_account,
    show,
)
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import Result, check_pattern
from airflow_provider_evolink.landing.storage import check_writable
from airflow_provider_evolink.landing.storage_target import storage_target
from airflow_provider_evolink.operators.row_landing import row_lander
from airflow_provider_evolink.recovery.collection import Collected, Collector, reader


@command
def collect(args: Namespace) -> int:
    """Land the generations, and print what became of each."""
    ids = list(dict.fromkeys(args.generation_id))
    for generation_id in ids:
        if not may_be_generation_id(generation_id):
            raise InvalidInputError("GENERATION_ID", generation_id, f"an id such as {EXAMPLE_ID}")
    check_pattern(args.filename_pattern, [Result(each, 0, "") for each in ids])
    outcomes = list(_collected(args, ids))
    show([_row(outcome) for outcome in outcomes], args.output)
    return _exit_code(outcomes, ids)


def _collected(args: Namespace, ids: Sequence[str]) -> list[Collected]:
    hook = open_account(args.conn_id)
    target = storage_target(_absolute(args.to))
    check_writable(target)
    lander = row_lander(hook, target, on_existing=OnExisting(args.on_existing))
    collector = Collector(reader(hook.settings), lander, args.filename_pattern)
    with naming_account(hook):
        return [outcome for outcomes in collector.collect(ids) for outcome in outcomes]


def _absolute(folder: str) -> str:
    """Return an absolute path for one that is relative to the current folder; a URI stays as it is."""
    return folder if ":" in folder or folder.startswith("~") else str(Path(folder).absolute())


def _row(outcome: Collected) -> dict[str, Any]:
    return {
        "generation_id": outcome.generation_id,
        "status": outcome.status.value,
        "model": outcome.model,
        "credits_used": outcome.credits_used,
        "files": [file.uri for file in outcome.files],
    }


def _exit_code(outcomes: Sequence[Collected], ids: Sequence[str]) -> int:
    for outcome in outcomes:
        if outcome.problem is not None:
            complain(outcome.problem.text)
    if left := len(ids) - len(outcomes):
        complain(f"{left} more were not attempted, since nothing could land.")
    statuses = {outcome.status for outcome in outcomes}
    if left or Status.FAILED in statuses:
        return FAILED
    return NOT_DONE if Status.UNDER_WAY in statuses else DONE
