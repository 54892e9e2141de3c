"""Who is killed when: a plan that follows from the seed, and its execution."""

from __future__ import annotations

import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.crash.stack import CrashStack
from tests.crash.victims import API_SERVER, DATABASE, MACHINE, SCHEDULER, Victim

DECKS = 5
# Twice the time after which a triggerer that does not move counts as dead.
SLEEP_SECONDS = 25.0
_TASK = re.compile(r"airflow worker -- [0-9a-f]{8}-[0-9a-f-]{27}\s*")


@dataclass(frozen=True)
class Card:
    """A victim in the deck.

    :param times: in each deck.
    :param pauses: seconds until the next strike, from and to: an Airflow that never gets up would prove nothing.
    """

    victim: str
    times: int
    pauses: tuple[float, float]


_BORROWED = (DATABASE, API_SERVER, SCHEDULER, MACHINE)
_SOON, _LATER = (1.5, 4.0), (12.0, 24.0)
DECK = (
    Card("worker", 7, _SOON),
    Card("supervisor", 4, _SOON),
    Card("triggerer", 2, _SOON),
    Card("triggerer asleep", 1, _SOON),
    *(Card(victim.name, 1, _LATER) for victim in _BORROWED),
)


@dataclass(frozen=True)
class Strike:
    """One strike, and the seconds of peace after it."""

    victim: str
    pause: float


def plan(seed: int, decks: int = DECKS) -> list[Strike]:
    """Shuffle deck after deck, so that everybody gets their turn."""
    dice = random.Random(seed)
    strikes = []
    for _ in range(decks):
        deck = [Strike(card.victim, dice.uniform(*card.pauses)) for card in DECK for _ in range(card.times)]
        dice.shuffle(deck)
        strikes += deck
    return strikes


class Killer:
    """Carries a plan out, while somebody else starts again what has died.

    :param stack: on whom.
    :param strikes: what is planned.
    :param seed: picks one of many.
    :param tell: is given a line for each strike.
    """

    def __init__(
        self, stack: CrashStack, strikes: Sequence[Strike], seed: int, tell: Callable[[str], object] = str
    ) -> None:
        self.done: Counter[str] = Counter()
        self._stack = stack
        self._tell = tell
        self._plan = list(strikes)
        self._dice = random.Random(seed)
        self._next_at = 0.0
        self._schedulers: set[int] = set()
        self._asleep: list[tuple[float, psutil.Process]] = []
        self._strike: dict[str, Callable[[float], bool]] = {
            "worker": lambda _now: self._kill_task(lambda task: task.pid),
            "supervisor": lambda _now: self._kill_task(lambda task: task.ppid()),
            "triggerer": self._kill_triggerer,
            "triggerer asleep": self._put_to_sleep,
            **{victim.name: self._borrowed(victim) for victim in _BORROWED},
        }

    def act(self, now: float) -> None:
        """Strike if it is time and the victim is there; wake who has slept long enough."""
        self._schedulers.add(self._stack.processes.pid("scheduler"))
        self.wake(now)
        if not self._plan or now < self._next_at:
            return
        strike = self._plan[0]
        with suppress(psutil.Error, ProcessLookupError, IndexError):
            if self._strike[strike.victim](now):
                self.done[strike.victim] += 1
                self._tell(f"{now:5.0f} s: {strike.victim}")
                self._next_at = now + strike.pause
                del self._plan[0]

    def wake(self, now: float = float("inf")) -> None:
        """Let those go on who have slept until now; without a time, all."""
        for until, sleeper in self._asleep:
            if until <= now:
                with suppress(psutil.Error):
                    sleeper.resume()
        self._asleep = [(until, sleeper) for until, sleeper in self._asleep if until > now]

    def _kill_task(self, whom: Callable[[psutil.Process], int]) -> bool:
        tasks = list(self._tasks())
        if not tasks:
            return False
        os.kill(whom(self._dice.choice(tasks)), signal.SIGKILL)
        return True

    def _tasks(self) -> Iterator[psutil.Process]:
        """The task processes, also of schedulers that are dead; each one's parent is its supervisor."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                is_task = _TASK.fullmatch(" ".join(process.cmdline())) is not None
                if is_task and os.getsid(process.pid) in self._schedulers:
                    yield process

    def _kill_triggerer(self, _now: float) -> bool:
        name = self._dice.choice(self._stack.triggerers)
        self._stack.kill(name)
        self._stack.start(name)
        return True

    def _put_to_sleep(self, now: float) -> bool:
        triggerer = psutil.Process(self._stack.processes.pid(self._dice.choice(self._stack.triggerers)))
        for process in (triggerer, *triggerer.children(recursive=True)):
            process.suspend()
            self._asleep.append((now + SLEEP_SECONDS, process))
        return True

    def _borrowed(self, victim: Victim) -> Callable[[float], bool]:
        def strike(_now: float) -> bool:
            victim.strike(self._stack, ())
            return True

        return strike
