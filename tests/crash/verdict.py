"""What must be true of a run after a crash. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OVER = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True)
class Facts:
    """What is found after a run.

    :param generations: what EvoLink has accepted: ``id``, ``charged``, ``idempotency_key``.
    :param submissions: how often it was asked for one.
    :param delivered: SHA-256 of what EvoLink delivers, by the id of the generation.
    :param tasks: the state of each task.
    :param log: of all tries of the task that submits.
    :param xcom: all that this task has pushed.
    :param ledger: its record.
    :param returned: what the transfer returned.
    :param files: SHA-256 of every file in the destination, hidden ones too, by its path or URI.
    :param uploads: what a bucket still keeps of uploads that nobody has completed or aborted.
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

    @property
    def charges(self) -> int:
        """How many generations were charged."""
        return sum(1 for one in self.generations if one["charged"] > 0)

    @property
    def landed(self) -> int:
        """How many generations lie in the destination, whole."""
        return sum(1 for digest in self.delivered.values() if digest in self.files.values())


def complaints(facts: Facts) -> list[str]:
    """Tell what must not be: nothing, if all went well in the end."""
    return [*_about_money(facts), *_about_files(facts), *_about_tasks(facts)]


def complaints_about_a_stop(facts: Facts) -> list[str]:
    """Tell what must not be after a run whose author would rather stop than send a submission again."""
    key = str(facts.ledger.get("idempotency_key", "no key"))
    found = [] if key in facts.log else [f"{key} is not in the log"]
    if facts.submissions > 1:
        found.append(f"{facts.submissions} submissions were sent")
    due = {"generate": "failed", "land": "upstream_failed"}
    found += [f"the task {name} is {state}" for name, state in facts.tasks.items() if state != due[name]]
    return [*found, *untraceable(facts), *_about_files(facts)]


def says_stopped(facts: Facts) -> bool:
    """Whether the log says that the task was told to stop while EvoLink goes on with its generation."""
    return any(f"Told to stop. Generation {one['id']}" in facts.log for one in facts.generations)


def says_what_is_paid(facts: Facts) -> bool:
    """Whether the log of a trigger that was stopped says that the generation stays paid for."""
    return any(
        f"generation {one['id']} can't be cancelled and stays paid for" in facts.log for one in facts.generations
    )


def untraceable(facts: Facts) -> list[str]:
    """Tell which generations the ledger leads to neither by id nor by key, while a task was stopped by a person."""
    ledger = json.dumps(facts.ledger)
    return [
        f"{one['id']} can't be found from the ledger"
        for one in facts.generations
        if one["id"] not in ledger and str(one["idempotency_key"]) not in ledger
    ]


def _about_money(facts: Facts) -> list[str]:
    found = []
    if len(facts.generations) > 1:
        found.append(f"{len(facts.generations)} generations were accepted")
    places = {"log": facts.log, "XCom": json.dumps(facts.xcom), "ledger": json.dumps(facts.ledger)}
    for one in facts.generations:
        found += [f"{one['id']} is not in the {name}" for name, text in places.items() if one["id"] not in text]
        if one["id"] not in facts.delivered:
            found.append(f"{one['id']} has not ended")
        elif facts.delivered[one["id"]] not in facts.files.values():
            found.append(f"{one['id']} is paid for and has not landed")
    return found if facts.generations else ["nothing was accepted"]


def _about_files(facts: Facts) -> list[str]:
    whole = set(facts.delivered.values())
    told = {entry["uri"].removeprefix("file://"): entry["sha256"] for entry in facts.returned}
    half = [f"{path} is not what EvoLink delivers" for path, digest in facts.files.items() if digest not in whole]
    wrong = half if half or told == facts.files else [f"told were {told}, there are {dict(facts.files)}"]
    return [*wrong, *(f"the upload of {key} has not ended" for key in facts.uploads)]


def _about_tasks(facts: Facts) -> list[str]:
    return [f"the task {name} is {state}" for name, state in facts.tasks.items() if state != "success"]
