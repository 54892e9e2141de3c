# SPDX-License-Identifier: Apache-2.0
"""Failpoints on the path of a generation: where a process is halted, and how the suite knows that a run is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

LOST_SECONDS = 600.0
HELD_SECONDS = 15.0


@dataclass(frozen=True)
class Fault:
    """A fault of the emulator with its only option.

    :param times: how many requests it affects.
    :param after: number of matching requests to let pass first.
    """

    name: str
    endpoint: str
    option: str
    value: float
    times: int = 1
    after: int = 0


@dataclass(frozen=True, eq=False)
class Failpoint:
    """A point on the path of a generation.

    :param name: for the table.
    :param halt: where the process waits: at the failpoint itself, or before the last step to it.
    :param task: the task that gets there.
    :param faults: faults of the emulator that hold the process at the failpoint after it left the halt.
    :param needs_end: whether the generation must have ended before.
    :param some_end: whether some generations, and not all, must have ended.
    :param on_worker: whether the process is a worker's task, not a trigger.
    :param in_parts: whether the result is so large that it is uploaded to a bucket in parts.
    :param arguments: operator arguments, in addition to those of all runs.
    :param dag: id of the DAG that is run.
    """

    name: str
    halt: str
    task: str = "generate"
    faults: tuple[Fault, ...] = ()
    needs_end: bool = False
    some_end: bool = False
    on_worker: bool = True
    in_parts: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dag: str = "crash"

    @property
    def fails_on_unknown(self) -> bool:
        """Whether an attempt fails when the outcome of an earlier submission is unknown."""
        return self.arguments.get("on_unknown_submission") == "fail"


BEFORE_INTENT = Failpoint("before the intent", "before-intent")
BEFORE_POST = Failpoint("intent, before the POST", "after-intent")
_LOST_RESPONSE = (Fault("slow_response", "submit", "seconds", LOST_SECONDS),)
ACCEPTED = Failpoint("POST accepted, response lost", "after-intent", faults=_LOST_RESPONSE)
RESPONSE_RECEIVED = Failpoint("response, before the record", "response-received")
RECORDED = Failpoint("record, before the deferral", "recorded")
DEFERRED = Failpoint("deferred", "waiting", on_worker=False)
EVENT = Failpoint("the event fires", "event", needs_end=True, on_worker=False)
RESUMED = Failpoint("resumed, before its record", "resumed", needs_end=True)
LANDING = Failpoint(
    "half of the file landed",
    "before-landing",
    task="land",
    faults=(
        Fault("truncated_media", "media", "fraction", 0.5),
        Fault("slow_response", "media", "seconds", HELD_SECONDS),
    ),
    needs_end=True,
)
UPLOADING = Failpoint(
    "half of the object uploaded",
    "uploading",
    task="land",
    needs_end=True,
    in_parts=True,
    arguments={"duration": 10, "aspect_ratio": "auto"},
)
LANDED = Failpoint("file landed, not yet reported", "landed", task="land", needs_end=True)

_STOP = {"on_unknown_submission": "fail"}
BEFORE_POST_OR_STOP = Failpoint('before the POST, "fail"', "after-intent", arguments=_STOP)
ACCEPTED_OR_STOP = Failpoint('response lost, "fail"', "after-intent", faults=_LOST_RESPONSE, arguments=_STOP)

FAILPOINTS = (
    BEFORE_INTENT,
    BEFORE_POST,
    ACCEPTED,
    RESPONSE_RECEIVED,
    RECORDED,
    DEFERRED,
    EVENT,
    RESUMED,
    LANDING,
    UPLOADING,
    LANDED,
    BEFORE_POST_OR_STOP,
    ACCEPTED_OR_STOP,
)


def _in_one_task(failpoint: Failpoint, name: str, **changes: Any) -> Failpoint:
    """Return a failpoint of the task that generates and lands."""
    return replace(failpoint, name=f"one task: {name}", dag="crash_one_task", task="generate", **changes)


ONE_TASK_DEFERRED = _in_one_task(DEFERRED, "deferred")
ONE_TASK_EVENT = _in_one_task(EVENT, "the event fires")
ONE_TASK_FINISHED = _in_one_task(RESUMED, "end recorded, before the landing", halt="finished")
ONE_TASK_LANDING = _in_one_task(LANDING, "half of the file landed", halt="finished")
ONE_TASK_CHECKPOINTED = _in_one_task(LANDED, "checkpoint, before the file's name", halt="checkpointed")
ONE_TASK_LANDED = _in_one_task(LANDED, "file landed, not yet returned")

ONE_TASK_FAILPOINTS = (
    ONE_TASK_DEFERRED,
    ONE_TASK_EVENT,
    ONE_TASK_FINISHED,
    ONE_TASK_LANDING,
    ONE_TASK_CHECKPOINTED,
    ONE_TASK_LANDED,
)
