# SPDX-License-Identifier: Apache-2.0
"""One run of the DAG on its way to a failpoint, with its own EvoLink, which counts what it charges."""

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
from testkit.airflow_api import AirflowApi
from testkit.s3 import BUCKET, S3
from tests.crash.checkpoints import Arrival, Checkpoints
from tests.crash.failpoints import Failpoint
from tests.crash.invariants import OVER, Facts
from tests.crash.noise import noise
from tests.ledgers import ledger_of

DAG = "crash"
S3_CONN = "crash_s3"
_LONGER_THAN_ANY_GENERATION = 3600.0


@dataclass
class Run:
    """A DAG run and what is known about it.

    :param api: of its Airflow.
    :param evolink: its own emulator.
    :param conn_id: connection to that emulator.
    :param failpoint: where it is to be disrupted.
    :param folder: its own folder.
    :param s3: where large results land.
    :param arguments: operator arguments.
    """

    api: AirflowApi
    evolink: EmulatorHandle
    conn_id: str
    failpoint: Failpoint
    folder: Path
    s3: S3
    arguments: Mapping[str, Any]
    run_id: str = ""
    may_end: bool = False
    ended_at: float | None = None
    suspended: psutil.Process | None = None
    checkpoints: Checkpoints = field(init=False)

    def __post_init__(self) -> None:
        self.evolink.control.reset()
        (self.folder / "checkpoints").mkdir(parents=True)
        self.checkpoints = Checkpoints(self.folder / "checkpoints")
        self.checkpoints.halt_at(self.failpoint.halt)

    def start(self) -> None:
        """Trigger the DAG run."""
        arguments = {**self.arguments, **self.failpoint.arguments}
        if self.failpoint.in_parts:
            picture = self.folder / "noise.png"
            picture.write_bytes(noise())
            arguments["image"] = str(picture)
        conf = {
            "checkpoints": str(self.checkpoints.folder),
            "conn_id": self.conn_id,
            "prompt": f"A lighthouse, {self.folder.name}",
            "destination": f"s3://{S3_CONN}@{BUCKET}/{self._prefix}" if self.failpoint.in_parts else str(self._landed),
            "arguments": arguments,
        }
        self.run_id = self.api.trigger(DAG, conf)

    @property
    def arrival(self) -> Arrival | None:
        """The process at the failpoint, or before the last step to it."""
        return self.checkpoints.arrival(self.failpoint.halt)

    @property
    def is_halted(self) -> bool:
        """Whether a process waits at the halt."""
        return self.arrival is not None and (
            self.failpoint.on_worker or self.state_of(self.failpoint.task) == "deferred"
        )

    def proceed_to_failpoint(self) -> None:
        """Leave the halt for the failpoint itself, where the two differ."""
        for fault in self.failpoint.faults:
            self.evolink.control.inject(fault.name, fault.endpoint, **{fault.option: fault.value})
        if self.failpoint.faults:
            self.checkpoints.release()

    @property
    def is_at_failpoint(self) -> bool:
        """Whether the run has reached the failpoint."""
        state = self.evolink.control.state()
        if any(fault["fired"] == 0 for fault in state["faults"]):
            return False
        return bool(state["generations"]) or not self.failpoint.faults

    def advance_evolink(self) -> None:
        """Let EvoLink finish its generations, once that is wanted."""
        if self.may_end or self.failpoint.needs_end:
            generations = self.evolink.control.state()["generations"]
            if any(generation["status"] in {"pending", "processing"} for generation in generations):
                self.evolink.control.advance(_LONGER_THAN_ANY_GENERATION)

    def state_of(self, task: str) -> str | None:
        """Return a task's state; None while Airflow does not respond."""
        return self.tasks().get(task)

    def tasks(self) -> dict[str, str | None]:
        """Return the states of the tasks; empty while Airflow does not respond."""
        with suppress(httpx.HTTPError):
            return self.api.task_states(DAG, self.run_id)
        return {}

    def is_over(self) -> bool:
        """Return whether the run has ended, and remember when."""
        if self.ended_at is None:
            with suppress(httpx.HTTPError):
                states = self.tasks()
                if self.api.run_state(DAG, self.run_id) in {"success", "failed"} and set(states.values()) <= OVER:
                    self.ended_at = time.monotonic()
        return self.ended_at is not None

    def trigger_has_left(self) -> bool:
        """Return whether the trigger, if there is one, has been cleaned up."""
        return self.failpoint.on_worker or self.checkpoints.arrival("left") is not None

    def clear(self) -> None:
        """Clear the run from its first task on, as a user would."""
        form = {"dag_run_id": self.run_id, "task_ids": ["generate", "land"], "only_failed": False, "dry_run": False}
        self.api.post(f"dags/{DAG}/clearTaskInstances", form)
        self.ended_at = None

    def mark(self, state: str) -> None:
        """Set the state of the task at the failpoint, as a user would."""
        self.api.patch(f"{self._path}/taskInstances/{self.failpoint.task}", {"new_state": state})

    def facts(self) -> Facts:
        """Gather what the invariants are checked against."""
        state = self.evolink.control.state()
        generations = state["generations"]
        return Facts(
            generations=generations,
            submissions=state["requests"]["submit"],
            delivered={
                generation["id"]: _digest(httpx.get(generation["results"][0]).content)
                for generation in generations
                if generation["results"]
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
        """Return the try numbers of a task."""
        tries = self.api.get(f"{self._path}/taskInstances/{task}/tries")["task_instances"]
        return sorted({attempt["try_number"] for attempt in tries if attempt["try_number"] > 0})

    def _files(self) -> dict[str, str]:
        if self.failpoint.in_parts:
            return self.s3.digests(self._prefix)
        return {str(path): _digest(path.read_bytes()) for path in self._landed.rglob("*") if path.is_file()}

    def _uploads(self) -> list[str]:
        pending = self.s3.pending() if self.failpoint.in_parts else []
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
