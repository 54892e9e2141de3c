# SPDX-License-Identifier: Apache-2.0
"""``airflow evolink forget``: show what a task remembers to have paid for, and remove it after asking."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_evolink.api.wording import counted
from airflow_provider_evolink.cli.running import DONE, FAILED, NOT_DONE, USAGE, Command, command, complain, show
from airflow_provider_evolink.cli.stored_entries import StoredEntry, find_entries, remove, running
from airflow_provider_evolink.cli.stored_files import find_in_files
from airflow_provider_evolink.cli.submissions import Submission, submissions_in

# Rows of a table; other formats have all.
_SHOWN = 50


@command
def forget(args: Namespace) -> int:
    """Show a task's ledger and remove it, if that is confirmed."""
    from airflow.utils import cli

    action_cli: Callable[..., Callable[[Command], Command]] = cli.action_cli

    # Airflow's audit log keeps who has removed what.
    @action_cli(check_db=False)
    def forget_evolink_ledger(args: Namespace) -> int:
        return _forget(args)

    return forget_evolink_ledger(args)


def _forget(args: Namespace) -> int:
    from airflow.utils.session import create_session

    with create_session() as session:
        entries = _entries(args, session)
        if not entries:
            complain(f"Task {args.task_id!r} of DAG {args.dag_id!r} has no such record. Nothing was removed.")
            return FAILED
        submissions = submissions_in(entries)
        _show(submissions, args.output)
        if len({entry.instance.run_id for entry in entries}) > 1:
            complain("Several runs have records: name one with --run-id. Nothing was removed.")
            return USAGE
        if refusal := _refusal(args, session, entries):
            return _refuse(refusal)
    if not args.yes and not _is_confirmed(submissions):
        complain("Nothing was removed.")
        return NOT_DONE
    with create_session() as session:
        now = _entries(args, session)
        if refusal := _refusal(args, session, now) or ("" if now == entries else "The record has changed meanwhile."):
            return _refuse(refusal)
        remove(session, now)
    complain(f"Removed what was known of {counted(len(submissions), 'submission')}{_names(submissions)}.")
    return DONE


def _entries(args: Namespace, session: Any) -> list[StoredEntry]:
    selected = (args.dag_id, args.task_id, args.run_id, args.map_index)
    return [*find_entries(session, *selected), *find_in_files(*selected)]


def _names(submissions: Sequence[Submission]) -> str:
    """Return the first records, as the table names them."""
    names = list(dict.fromkeys(each.row for each in submissions))
    return (f": {', '.join(names[:10])}" if names else "") + (" and others" if len(names) > 10 else "")


def _refuse(refusal: str) -> int:
    complain(f"{refusal} Nothing was removed.")
    return FAILED


def _show(submissions: Sequence[Submission], output: str) -> None:
    shown = submissions[:_SHOWN] if output == "table" else submissions
    show([each.to_row() for each in shown], output)
    if others := len(submissions) - len(shown):
        complain(f"and {others:,} more (--output json shows all).")


def _refusal(args: Namespace, session: Any, entries: Sequence[StoredEntry]) -> str:
    """Return why nothing may be removed; empty if it may."""
    busy = running(session, args.dag_id, args.task_id, {entry.instance for entry in entries})
    if not busy:
        return ""
    instances = ", ".join(f"{each.run_id}, map index {each.map_index}" for each in busy[:3])
    return f"The task is under way ({instances}) and would write its record again: wait, or mark it as failed."


def _is_confirmed(submissions: Sequence[Submission]) -> bool:
    known = [each.credits for each in submissions if each.credits is not None]
    unknown = len(submissions) - len(known)
    doubt = f", and {unknown} of unknown cost" if unknown else ""
    complain(
        f"This removes what is known of {counted(len(submissions), 'submission')} ({sum(known):.10g} credits{doubt}). "
        "The task's next try or clear pays for new ones."
    )
    # Not input(), whose prompt would follow the rows on stdout.
    sys.stderr.write("Remove? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        complain("There is nobody to confirm it: --yes removes without asking.")
    return answer.strip().lower() in {"y", "yes"}
