# SPDX-License-Identifier: Apache-2.0
"""What must hold after a run that was disrupted. Pure."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.result import left_running, trigger_stopped

OVER = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True)
class Facts:
    """What is found after a run.

    :param generations: what EvoLink has accepted: ``id``, ``charged``, ``idempotency_key``.
    :param submissions: number of submissions that EvoLink received.
    :param delivered: SHA-256 of what EvoLink delivers, by generation id.
    :param tasks: state of each task.
    :param log: log of all attempts of the task that submits.
    :param xcom: everything that this task has pushed.
    :param ledger: its record.
    :param returned: what has landed, as the task that landed it returned it.
    :param files: SHA-256 of every file in the destination, hidden ones included, by path or URI.
    :param uploads: multipart uploads in the bucket that were neither completed nor aborted.
    :param may_resend: whether a submission may be sent again, with its idempotency key.
    :param may_stop: whether the run may fail rather than submit again, and may do nothing else than either.
    """

    generations: Sequence[Mapping[str, Any]]
    submissions: int
    delivered: Mapping[str, str]
    tasks: Mapping[str, str | None]
    log: str
    xcom: Mapping[str, Any]
    ledger: Mapping[str, Any]
    returned: Sequence[Mapping[str, Any]]
    files: Mapping[str, str]
    uploads: Sequence[str] = ()
    may_resend: bool = True
    may_stop: bool = False

    @property
    def charges(self) -> int:
        """Number of generations that were charged."""
        return sum(1 for generation in self.generations if generation["charged"] > 0)

    @property
    def landed(self) -> int:
        """Number of generations whose complete file is in the destination."""
        return sum(1 for digest in self.delivered.values() if digest in self.files.values())

    def violations(self) -> list[str]:
        """Return every violation; empty if everything went well in the end."""
        return (
            self._stop_violations()
            if self.may_stop
            else [*_about_money(self), *_about_files(self), *_about_tasks(self)]
        )

    def untraceable(self) -> list[str]:
        """Return the generations that the ledger of a stopped task leads to neither by id nor by idempotency key."""
        ledger = json.dumps(self.ledger)
        return [
            f"{generation['id']} can't be found from the ledger"
            for generation in self.generations
            if generation["id"] not in ledger and str(generation["idempotency_key"]) not in ledger
        ]

    def reports_stop(self) -> bool:
        """Return whether the log reports that the task was stopped while EvoLink goes on with its generation."""
        return any(_fixed_part(left_running, generation["id"]) in self.log for generation in self.generations)

    def reports_charge(self) -> bool:
        """Return whether a stopped trigger has reported that the generation stays paid for."""
        return any(_fixed_part(trigger_stopped, generation["id"]) in self.log for generation in self.generations)

    def _stop_violations(self) -> list[str]:
        key = str(self.ledger.get("idempotency_key", "no key"))
        found = [] if key in self.log else [f"{key} is not in the log"]
        found += _about_submissions(self)
        expected = {"generate": "failed", "land": "upstream_failed"}
        found += [f"the task {name} is {state}" for name, state in self.tasks.items() if state != expected[name]]
        return [*found, *self.untraceable(), *_about_files(self)]


def _fixed_part(report: Callable[..., str], generation_id: str) -> str:
    """Return the part of a report that depends on the generation alone, not on its cost or connection."""
    texts = [report(generation_id, "conn_a", cost=None), report(generation_id, "conn_b", cost=1.0)]
    fixed = os.path.commonprefix(texts)  # noqa: RUF071 - character by character is what is meant
    assert generation_id in fixed
    return fixed


def _about_submissions(facts: Facts) -> list[str]:
    return [] if facts.may_resend or facts.submissions <= 1 else [f"{facts.submissions} submissions were sent"]


def _about_money(facts: Facts) -> list[str]:
    found = _about_submissions(facts)
    if len(facts.generations) > 1:
        found.append(f"{len(facts.generations)} generations were accepted")
    places = {"log": facts.log, "XCom": json.dumps(facts.xcom), "ledger": json.dumps(facts.ledger)}
    for generation in facts.generations:
        found += [
            f"{generation['id']} is not in the {name}" for name, text in places.items() if generation["id"] not in text
        ]
        if generation["id"] not in facts.delivered:
            found.append(f"{generation['id']} has not ended")
        elif facts.delivered[generation["id"]] not in facts.files.values():
            found.append(f"{generation['id']} is paid for and has not landed")
    return found if facts.generations else ["nothing was accepted"]


def _about_files(facts: Facts) -> list[str]:
    complete = set(facts.delivered.values())
    returned = {entry["uri"].removeprefix("file://"): entry["sha256"] for entry in facts.returned}
    partial = [f"{path} is not what EvoLink delivers" for path, digest in facts.files.items() if digest not in complete]
    wrong = (
        partial if partial or returned == facts.files else [f"returned {returned}, but there are {dict(facts.files)}"]
    )
    return [*wrong, *(f"the upload of {key} has not ended" for key in facts.uploads)]


def _about_tasks(facts: Facts) -> list[str]:
    return [f"the task {name} is {state}" for name, state in facts.tasks.items() if state != "success"]
