# SPDX-License-Identifier: Apache-2.0
"""Failpoints on the path of a generation: where a process is halted, and how the suite knows that a run is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOST_SECONDS = 600.0
HELD_SECONDS = 15.0


@dataclass(frozen=True)
class Fault:
    """A fault of the emulator with its only option."""

    name: str
    endpoint: str
    option: str
    value: float


@dataclass(frozen=True, eq=False)
class Failpoint:
    """A point on the path of a generation.

    :param name: for the table.
    :param halt: where the process waits: at the failpoint itself, or before the last step to it.
    :param task: the task that gets there.
    :param faults: faults of the emulator that hold the process at the failpoint after it left the halt.
    :param needs_end: whether the generation must have ended before.
    :param on_worker: whether the process is a worker's task, not a trigger.
    :param in_parts: whether the result is so large that it is uploaded to a bucket in parts.
    :param arguments: operator arguments, in addition to those of all runs.
    """

    name: str
    halt: str
    task: str = "generate"
    faults: tuple[Fault, ...] = ()
    needs_end: bool = False
    on_worker: bool = True
    in_parts: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

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
