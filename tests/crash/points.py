"""The points of the path: where a process is halted, and how the suite knows that a run is there."""

from __future__ import annotations

from dataclasses import dataclass

LOST_SECONDS = 600.0
HELD_SECONDS = 15.0


@dataclass(frozen=True)
class Fault:
    """A fault of the emulator, with its one option."""

    name: str
    endpoint: str
    option: str
    value: float


@dataclass(frozen=True)
class Point:
    """One point of the path.

    :param name: for the table.
    :param halt: where the process waits: at the point itself, or before the last step to it.
    :param task: which task is on its way there.
    :param faults: of the emulator, which hold the process at the point once it is let go from the halt.
    :param needs_end: whether the generation must have ended before.
    :param on_worker: whether a worker is at it.
    """

    name: str
    halt: str
    task: str = "generate"
    faults: tuple[Fault, ...] = ()
    needs_end: bool = False
    on_worker: bool = True


BEFORE_INTENT = Point("before the intent", "before-intent")
BEFORE_POST = Point("intent, before the POST", "after-intent")
ACCEPTED = Point(
    "POST accepted, answer lost", "after-intent", faults=(Fault("slow", "submit", "seconds", LOST_SECONDS),)
)
ANSWERED = Point("answer, before the record", "answered")
RECORDED = Point("record, before the deferral", "recorded")
DEFERRED = Point("deferred", "waiting", on_worker=False)
EVENT = Point("the event fires", "event", needs_end=True, on_worker=False)
RESUMED = Point("resumed, before its record", "resumed", needs_end=True)
LANDING = Point(
    "half of the file landed",
    "before-landing",
    task="land",
    faults=(Fault("truncated_media", "media", "share", 0.5), Fault("slow", "media", "seconds", HELD_SECONDS)),
    needs_end=True,
)
LANDED = Point("file landed, not yet noted", "landed", task="land", needs_end=True)

POINTS = (BEFORE_INTENT, BEFORE_POST, ACCEPTED, ANSWERED, RECORDED, DEFERRED, EVENT, RESUMED, LANDING, LANDED)
