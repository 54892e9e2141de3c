# SPDX-License-Identifier: Apache-2.0
"""What is measured, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

IDLE = "idle"
GROUP, SINGLE, BATCH, BARE = CONTENDERS = "group", "single", "batch", "bare"
TITLES = {
    IDLE: "an idle Airflow",
    GROUP: "mapped group: generate, then transfer",
    SINGLE: "mapped task with `destination=`",
    BATCH: "`EvoLinkBatchOperator`",
    BARE: "bare asyncio script",
}
WINDOW, LARGE_WINDOW = 200, 1000
LARGE_COUNT = 10_000
_MAPPED = (GROUP, SINGLE)


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement.

    :param contender: a key of ``TITLES``.
    :param count: number of videos.
    :param window: generations in progress at most, of contenders that limit them.
    """

    contender: str
    count: int
    window: int = WINDOW

    @property
    def dag_id(self) -> str:
        """The DAG that it runs."""
        return f"bench_{self.contender}_{self.window}" if self.contender == BATCH else f"bench_{self.contender}"

    @property
    def is_mapped(self) -> bool:
        """Whether each video is a task instance of its own."""
        return self.contender in _MAPPED

    def __str__(self) -> str:
        """Describe it in a line of the log."""
        window = f", window of {self.window:,}" if self.contender == BATCH else ""
        return f"{TITLES[self.contender].replace('`', '')}: {self.count:,}{window}"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    :param count: number of rows of a batch and of the bare script.
    :param mapped: number of videos of mapped tasks, which take a second or two each.
    :param rounds: how often everything but the large batches is repeated.
    :param has_large: whether there are batches of 10,000.
    """

    count: int
    mapped: int
    rounds: int
    has_large: bool


def warm_up(contenders: Collection[str]) -> list[Case]:
    """Return what runs first and isn't counted: every component does something at its first task only."""
    return [case for case in _one_each(contenders) if case.contender != BARE]


def round_of(contenders: Collection[str], sizes: Sizes) -> list[Case]:
    """Return one round: idling, one video each, then many; a batch also with as many in progress as it has rows."""
    many = [
        Case(contender, sizes.mapped if contender in _MAPPED else sizes.count)
        for contender in CONTENDERS
        if contender in contenders
    ]
    wide = [Case(BATCH, sizes.count, LARGE_WINDOW)] if BATCH in contenders else []
    return [Case(IDLE, 0), *_one_each(contenders), *many, *wide]


def large(contenders: Collection[str], sizes: Sizes) -> list[Case]:
    """Return the batches that are measured once."""
    if BATCH not in contenders or not sizes.has_large:
        return []
    return [Case(BATCH, LARGE_COUNT), Case(BATCH, LARGE_COUNT, LARGE_WINDOW)]


def plan(contenders: Collection[str], sizes: Sizes) -> Iterator[tuple[int, Case]]:
    """Yield all that counts, in order, with the number of its round.

    The large batches belong to the last round.
    """
    for number in range(sizes.rounds):
        yield from ((number, case) for case in round_of(contenders, sizes))
    yield from ((sizes.rounds - 1, case) for case in large(contenders, sizes))


def _one_each(contenders: Collection[str]) -> list[Case]:
    return [Case(contender, 1) for contender in CONTENDERS if contender in contenders]
