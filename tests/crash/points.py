"""The points of the path: where a process is halted, and how the suite knows that a run is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOST_SECONDS = 600.0
HELD_SECONDS = 15.0


@dataclass(frozen=True)
class Fault:
    """A fault of the emulator, with its one option."""

    name: str
    endpoint: str
    option: str
    value: float


@dataclass(frozen=True, eq=False)
class Point:
    """One point of the path.

    :param name: for the table.
    :param halt: where the process waits: at the point itself, or before the last step to it.
    :param task: which task is on its way there.
    :param faults: of the emulator, which hold the process at the point once it is let go from the halt.
    :param needs_end: whether the generation must have ended before.
    :param on_worker: whether a worker is at it.
    :param in_parts: whether the result is so large that it goes to a bucket in parts.
    :param wishes: arguments of the operator, beside those that all runs have.
    """

    name: str
    halt: str
    task: str = "generate"
    faults: tuple[Fault, ...] = ()
    needs_end: bool = False
    on_worker: bool = True
    in_parts: bool = False
    wishes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def would_rather_stop(self) -> bool:
        """Whether a try shall stop when it does not know what became of an earlier one's submission."""
        return self.wishes.get("on_unknown_submission") == "fail"


BEFORE_INTENT = Point("before the intent", "before-intent")
BEFORE_POST = Point("intent, before the POST", "after-intent")
_LOST_ANSWER = (Fault("slow_response", "submit", "seconds", LOST_SECONDS),)
ACCEPTED = Point("POST accepted, answer lost", "after-intent", faults=_LOST_ANSWER)
ANSWERED = Point("answer, before the record", "answered")
RECORDED = Point("record, before the deferral", "recorded")
DEFERRED = Point("deferred", "waiting", on_worker=False)
EVENT = Point("the event fires", "event", needs_end=True, on_worker=False)
RESUMED = Point("resumed, before its record", "resumed", needs_end=True)
LANDING = Point(
    "half of the file landed",
    "before-landing",
    task="land",
    faults=(
        Fault("truncated_media", "media", "fraction", 0.5),
        Fault("slow_response", "media", "seconds", HELD_SECONDS),
    ),
    needs_end=True,
)
UPLOADING = Point(
    "half of the object uploaded",
    "uploading",
    task="land",
    needs_end=True,
    in_parts=True,
    wishes={"duration": 10, "aspect_ratio": "auto"},
)
LANDED = Point("file landed, not yet told", "landed", task="land", needs_end=True)

_STOP = {"on_unknown_submission": "fail"}
BEFORE_POST_OR_STOP = Point('before the POST, "fail"', "after-intent", wishes=_STOP)
ACCEPTED_OR_STOP = Point('answer lost, "fail"', "after-intent", faults=_LOST_ANSWER, wishes=_STOP)

POINTS = (
    BEFORE_INTENT,
    BEFORE_POST,
    ACCEPTED,
    ANSWERED,
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
