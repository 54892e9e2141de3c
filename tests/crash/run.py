"""One run of the DAG, on its way to one point, on an EvoLink of its own that counts what it was charged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil

from airflow_provider_evolink.emulator.server import EmulatorHandle
from demo.rest import AirflowApi
from tests.crash.marks import Caught, Marks
from tests.crash.noise import noise
from tests.crash.points import Point
from tests.crash.verdict import OVER, Facts
from tests.ledgers import ledger_of
from tests.s3 import BUCKET, S3

DAG = "crash"
S3_CONN = "crash_s3"
_AN_AGE = 3600.0


@dataclass
class Run:
    """A run, and what is known of it.

    :param api: of its Airflow.
    :param evolink: its own.
    :param conn_id: the connection to that.
    :param folder: its own.
    :param s3: where large results land.
    :param wishes: arguments of the operator.
    """

    api: AirflowApi
    evolink: EmulatorHandle
    conn_id: str
    point: Point
    folder: Path
    s3: S3
    wishes: Mapping[str, Any]
    run_id: str = ""
    may_end: bool = False
    ended_at: float | None = None
    sleeper: psutil.Process | None = None
    marks: Marks = field(init=False)

    def __post_init__(self) -> None:
        self.evolink.control.reset()
        (self.folder / "marks").mkdir(parents=True)
        self.marks = Marks(self.folder / "marks")
        self.marks.ask(self.point.halt)

    def start(self) -> None:
        """Start it."""
        wishes = {**self.wishes, **self.point.wishes}
        if self.point.in_parts:
            picture = self.folder / "noise.png"
            picture.write_bytes(noise())
            wishes["image"] = str(picture)
        conf = {
            "marks": str(self.marks.folder),
            "conn_id": self.conn_id,
            "prompt": f"A lighthouse, {self.folder.name}",
            "destination": f"s3://{S3_CONN}@{BUCKET}/{self._prefix}" if self.point.in_parts else str(self._landed),
            "wishes": wishes,
        }
        self.run_id = self.api.trigger(DAG, conf)

    @property
    def caught(self) -> Caught | None:
        """The process that is at the point, or before the last step to it."""
        return self.marks.caught(self.point.halt)

    @property
    def is_at_halt(self) -> bool:
        """Whether it has come to where it was asked to halt."""
        return self.caught is not None and (self.point.on_worker or self.state_of(self.point.task) == "deferred")

    def take_last_step(self) -> None:
        """Leave the halt for the point itself, where there is a difference."""
        for fault in self.point.faults:
            self.evolink.control.inject(fault.name, fault.endpoint, **{fault.option: fault.value})
        if self.point.faults:
            self.marks.let_go()

    @property
    def is_at_point(self) -> bool:
        """Whether it has come to the point."""
        state = self.evolink.control.state()
        if any(fault["fired"] == 0 for fault in state["faults"]):
            return False
        return bool(state["generations"]) or not self.point.faults

    def push_on(self) -> None:
        """Let EvoLink finish what it has begun, once that is wanted."""
        if self.may_end or self.point.needs_end:
            generations = self.evolink.control.state()["generations"]
            if any(one["status"] in {"pending", "processing"} for one in generations):
                self.evolink.control.advance(_AN_AGE)

    def state_of(self, task: str) -> str | None:
        """Return a task's state; None while nobody answers."""
        return self.tasks().get(task)

    def tasks(self) -> dict[str, str | None]:
        """Return the states of the tasks; none while nobody answers."""
        with suppress(httpx.HTTPError):
            return self.api.task_states(DAG, self.run_id)
        return {}

    def is_over(self) -> bool:
        """Tell whether it has ended, and remember when."""
        if self.ended_at is None:
            with suppress(httpx.HTTPError):
                states = self.tasks()
                if self.api.run_state(DAG, self.run_id) in {"success", "failed"} and set(states.values()) <= OVER:
                    self.ended_at = time.monotonic()
        return self.ended_at is not None

    def trigger_has_left(self) -> bool:
        """Tell whether the trigger has ended, where one waits."""
        return self.point.on_worker or self.marks.caught("left") is not None

    def clear(self) -> None:
        """Clear it from the first task on, as a user would."""
        wanted = {"dag_run_id": self.run_id, "task_ids": ["generate", "land"], "only_failed": False, "dry_run": False}
        self.api.post(f"dags/{DAG}/clearTaskInstances", wanted)
        self.ended_at = None

    def mark(self, state: str) -> None:
        """Mark the task that is at the point, as a user would."""
        self.api.patch(f"{self._path}/taskInstances/{self.point.task}", {"new_state": state})

    def facts(self) -> Facts:
        """Gather what is to be judged."""
        state = self.evolink.control.state()
        generations = state["generations"]
        return Facts(
            generations=generations,
            submissions=state["requests"]["submit"],
            delivered={
                one["id"]: _digest(httpx.get(one["results"][0]).content) for one in generations if one["results"]
            },
            tasks=self.tasks(),
            log="\n".join(self.api.log(DAG, self.run_id, "generate", number) for number in self.tries("generate")),
            xcom={key: self.api.xcom(DAG, self.run_id, "generate", key) for key in ("generation_id", "return_value")},
            ledger=ledger_of(self.api, f"{self._path}/taskInstances/generate"),
            returned=self.api.xcom(DAG, self.run_id, "land") or [],
            files=self._files(),
            uploads=self._uploads(),
        )

    def tries(self, task: str) -> list[int]:
        """Return the numbers of a task's tries."""
        tries = self.api.get(f"{self._path}/taskInstances/{task}/tries")["task_instances"]
        return sorted({one["try_number"] for one in tries if one["try_number"] > 0})

    def _files(self) -> dict[str, str]:
        if self.point.in_parts:
            return self.s3.digests(self._prefix)
        return {str(path): _digest(path.read_bytes()) for path in self._landed.rglob("*") if path.is_file()}

    def _uploads(self) -> list[str]:
        pending = self.s3.pending() if self.point.in_parts else []
        return [upload["Key"] for upload in pending if upload["Key"].startswith(f"{self._prefix}/")]

    @property
    def _landed(self) -> Path:
        return self.folder / "landed"

    @property
    def _prefix(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def _path(self) -> str:
        return f"dags/{DAG}/dagRuns/{quote(self.run_id, safe='')}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
