# SPDX-License-Identifier: Apache-2.0
"""One run of the DAG under faults, while its Airflow is killed piece by piece, and what is found afterwards."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import httpx

from airflow_provider_evolink.emulator.server import EmulatorHandle
from testkit.airflow_api import AirflowApi
from tests.chaos.invariants import Facts, Video
from tests.chaos.kill_schedule import Killer
from tests.chaos.prompts import video_arguments
from tests.crash.stack import CrashStack
from tests.ledgers import ledger_of

DAG = "chaos"
GROUP = "video"
_LONGER_THAN_ANY_GENERATION = 3600.0
_TICK_SECONDS, _CHECK_SECONDS, _RESPONSE_SECONDS, _PROGRESS_SECONDS = 0.5, 5.0, 4.0, 30.0


@dataclass
class Experiment:
    """A run of the DAG.

    :param stack: its Airflow.
    :param evolink: its EvoLink.
    :param media_dir: folder in which the emulator keeps what it has delivered.
    :param destination: where results land.
    :param log: called with a line of progress now and then.
    """

    dag: ClassVar[str] = DAG

    stack: CrashStack
    evolink: EmulatorHandle
    media_dir: Path
    destination: Path
    log: Callable[[str], object]
    run_id: str = ""

    def run_under_kills(self, killer: Killer, limit: float) -> float:
        """Trigger the DAG run, kill on schedule until it is over, and return the seconds it took, at most the limit."""
        self.run_id = self.stack.api.trigger(self.dag, self._conf())
        # A short timeout: while a response is awaited, nothing is killed, restarted or resumed.
        with closing(AirflowApi(self.stack.url, _RESPONSE_SECONDS)) as api:
            return self._watch(api, killer, limit)

    def _conf(self) -> dict[str, Any]:
        return {"destination": str(self.destination)}

    def _watch(self, api: AirflowApi, killer: Killer, limit: float) -> float:
        start = time.monotonic()
        check_at, progress_at = _CHECK_SECONDS, 0.0
        while (now := time.monotonic() - start) < limit:
            self.stack.restart_dead()
            killer.act(now)
            if now >= progress_at:
                self.log(f"{now:5.0f} s: {self._progress()}; {killer.done.total()} kills")
                progress_at = now + _PROGRESS_SECONDS
            if now >= check_at:
                if self._is_over(api):
                    break
                check_at = now + _CHECK_SECONDS
            time.sleep(_TICK_SECONDS)
        killer.resume()
        return time.monotonic() - start

    def _is_over(self, api: AirflowApi) -> bool:
        with suppress(httpx.HTTPError):
            return api.run_state(self.dag, self.run_id) in {"success", "failed"}
        return False

    def _progress(self) -> str:
        state = self.evolink.control.state()
        fired = sum(fault["fired"] for fault in state["faults"])
        landed = sum(1 for path in self.destination.rglob("*") if path.is_file())
        return f"{len(state['generations'])} accepted, {landed} landed, {fired} faults"

    def facts(self, timeout: float | None) -> Facts:
        """Gather what the invariants are checked against, once EvoLink has finished its generations."""
        state = self._final_state()
        expected = video_arguments()
        generations = defaultdict(list)
        for generation in state["generations"]:
            generations[generation["prompt"]].append(generation)
        tasks = self._tasks()
        return Facts(
            videos=[
                self._video(number, arguments["prompt"], generations[arguments["prompt"]], tasks[number])
                for number, arguments in enumerate(expected)
            ],
            delivered=self._delivered(state),
            files={str(path): _digest(path) for path in self.destination.rglob("*") if path.is_file()},
            unexpected=[
                generation["id"]
                for prompt in generations.keys() - {arguments["prompt"] for arguments in expected}
                for generation in generations[prompt]
            ],
            leaked_keys=state["api_key_leak_count"],
            timeout=timeout,
        )

    def _final_state(self) -> dict[str, Any]:
        """Return EvoLink's state, once it has finished its generations."""
        self.evolink.control.advance(_LONGER_THAN_ANY_GENERATION)
        return self.evolink.control.state()

    def _delivered(self, state: Mapping[str, Any]) -> dict[str, str]:
        """Return the SHA-256 of what EvoLink delivers, by generation id."""
        return {
            generation["id"]: self._delivered_digest(link)
            for generation in state["generations"]
            for link in generation["results"]
        }

    def _tasks(self) -> dict[int, dict[str, dict[str, Any]]]:
        """Return the task instances by map index and name."""
        found: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
        for task in self.stack.api.task_instances(DAG, self.run_id):
            found[task["map_index"]][task["task_id"].removeprefix(f"{GROUP}.")] = task
        return found

    def _video(
        self, number: int, prompt: str, generations: list[dict[str, Any]], tasks: Mapping[str, Mapping[str, Any]]
    ) -> Video:
        task = f"dags/{DAG}/dagRuns/{quote(self.run_id, safe='')}/taskInstances/{GROUP}.generate"
        return Video(
            prompt=prompt,
            generations=generations,
            states={name: tasks.get(name, {}).get("state") for name in ("generate", "land")},
            tries={name: task["try_number"] for name, task in tasks.items()},
            ledger=ledger_of(self.stack.api, task, map_index=number),
            log=self._log_of(f"{GROUP}.generate", number),
            returned=self.stack.api.xcom(DAG, self.run_id, f"{GROUP}.land", map_index=number) or [],
        )

    def _log_of(self, task_id: str, map_index: int) -> str:
        logs = self.stack.home / "logs" / f"dag_id={self.dag}"
        paths = logs.glob(f"*/task_id={task_id}/map_index={map_index}/*")
        return "\n".join(path.read_text(errors="replace") for path in paths)

    def _delivered_digest(self, link: str) -> str:
        """Return the SHA-256 of what EvoLink delivers under a link; empty if it was never fetched."""
        path = self.media_dir / PurePosixPath(urlsplit(link).path).name
        return _digest(path) if path.exists() else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
