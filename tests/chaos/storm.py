"""One run of the DAG in bad weather, while its Airflow is killed bit by bit; and what is left of it."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from airflow_provider_evolink.emulator.server import EmulatorHandle
from demo.rest import AirflowApi
from tests.chaos.strikes import Killer
from tests.chaos.verdict import Facts, Video
from tests.chaos.wishes import wishes
from tests.crash.stack import CrashStack
from tests.ledgers import ledger_of

DAG = "chaos"
GROUP = "video"
_LONGER_THAN_ANY_GENERATION = 3600.0
_TICK_SECONDS, _LOOK_SECONDS, _ANSWER_SECONDS, _NEWS_SECONDS = 0.5, 5.0, 4.0, 30.0


@dataclass
class Storm:
    """A run of the DAG.

    :param stack: its Airflow.
    :param evolink: its EvoLink.
    :param films: where that keeps what it has delivered.
    :param destination: where results land.
    :param tell: is given a line now and then.
    """

    stack: CrashStack
    evolink: EmulatorHandle
    films: Path
    destination: Path
    tell: Callable[[str], object]
    run_id: str = ""

    def ride_out(self, killer: Killer, limit: float) -> float:
        """Start the run, and let it be struck until it is over; return the seconds that took, at most the limit."""
        self.run_id = self.stack.api.trigger(DAG, {"destination": str(self.destination)})
        # Impatient: while an answer is waited for, nobody is struck, started again or woken.
        with closing(AirflowApi(self.stack.url, _ANSWER_SECONDS)) as api:
            return self._watch(api, killer, limit)

    def _watch(self, api: AirflowApi, killer: Killer, limit: float) -> float:
        start = time.monotonic()
        look_at, news_at = _LOOK_SECONDS, 0.0
        while (now := time.monotonic() - start) < limit:
            self.stack.revive()
            killer.act(now)
            if now >= news_at:
                self.tell(f"{now:5.0f} s: {self._news()}; {killer.done.total()} strikes")
                news_at = now + _NEWS_SECONDS
            if now >= look_at:
                if self._is_over(api):
                    break
                look_at = now + _LOOK_SECONDS
            time.sleep(_TICK_SECONDS)
        killer.wake()
        return time.monotonic() - start

    def _is_over(self, api: AirflowApi) -> bool:
        with suppress(httpx.HTTPError):
            return api.run_state(DAG, self.run_id) in {"success", "failed"}
        return False

    def _news(self) -> str:
        state = self.evolink.control.state()
        struck = sum(fault["fired"] for fault in state["faults"])
        landed = sum(1 for path in self.destination.rglob("*") if path.is_file())
        return f"{len(state['generations'])} accepted, {landed} landed, {struck} faults"

    def facts(self, timeout: float | None) -> Facts:
        """Gather what is to be judged, once EvoLink has ended what it has begun."""
        self.evolink.control.advance(_LONGER_THAN_ANY_GENERATION)
        state = self.evolink.control.state()
        wanted = wishes()
        generations = defaultdict(list)
        for one in state["generations"]:
            generations[one["prompt"]].append(one)
        tasks = self._tasks()
        return Facts(
            videos=[
                self._video(number, wish["prompt"], generations[wish["prompt"]], tasks[number])
                for number, wish in enumerate(wanted)
            ],
            delivered={one["id"]: self._film(link) for one in state["generations"] for link in one["results"]},
            files={str(path): _digest(path) for path in self.destination.rglob("*") if path.is_file()},
            strangers=[
                one["id"]
                for prompt in generations.keys() - {wish["prompt"] for wish in wanted}
                for one in generations[prompt]
            ],
            leaked_keys=state["api_key_leak_count"],
            timeout=timeout,
        )

    def _tasks(self) -> dict[int, dict[str, dict[str, Any]]]:
        """The task instances, by their place in the map and by name."""
        found: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
        for task in self.stack.api.task_instances(DAG, self.run_id):
            found[task["map_index"]][task["task_id"].removeprefix(f"{GROUP}.")] = task
        return found

    def _video(
        self, number: int, prompt: str, generations: list[dict[str, Any]], tasks: Mapping[str, Mapping[str, Any]]
    ) -> Video:
        logs = self.stack.home / "logs" / f"dag_id={DAG}"
        task = f"dags/{DAG}/dagRuns/{quote(self.run_id, safe='')}/taskInstances/{GROUP}.generate"
        return Video(
            prompt=prompt,
            generations=generations,
            states={name: tasks.get(name, {}).get("state") for name in ("generate", "land")},
            tries={name: task["try_number"] for name, task in tasks.items()},
            ledger=ledger_of(self.stack.api, task, map_index=number),
            log="\n".join(
                path.read_text(errors="replace")
                for path in logs.glob(f"*/task_id={GROUP}.generate/map_index={number}/*")
            ),
            told=self.stack.api.xcom(DAG, self.run_id, f"{GROUP}.land", map_index=number) or [],
        )

    def _film(self, link: str) -> str:
        """What EvoLink delivers under a link; nothing if nobody has ever fetched it."""
        film = self.films / PurePosixPath(urlsplit(link).path).name
        return _digest(film) if film.exists() else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
