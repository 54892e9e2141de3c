# SPDX-License-Identifier: Apache-2.0
"""One run of the DAG on its way to a failpoint, with its own EvoLink, which counts what it charges."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol
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

S3_CONN = "crash_s3"
_LONGER_THAN_ANY_GENERATION = 3600.0


class Findings(Protocol):
    """What is found after a run, and how it is reported; see :class:`~tests.crash.invariants.Facts`."""

    @property
    def charges(self) -> int: ...
    @property
    def landed(self) -> int: ...
    def violations(self) -> list[str]: ...
    def untraceable(self) -> list[str]: ...
    def reports_stop(self) -> bool: ...
    def reports_charge(self) -> bool: ...


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

    tasks_of_dag: ClassVar[Sequence[str]] = ("generate", "land")
    resends: ClassVar[bool] = True

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
        conf = {
            "checkpoints": str(self.checkpoints.folder),
            "conn_id": self.conn_id,
            **self._conf({**self.arguments, **self.failpoint.arguments}),
        }
        self.run_id = self.api.trigger(self.failpoint.dag, conf)

    def _conf(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.failpoint.in_parts:
            picture = self.folder / "noise.png"
            picture.write_bytes(noise())
            arguments["image"] = str(picture)
        return {
            "prompt": f"A lighthouse, {self.folder.name}",
            "destination": f"s3://{S3_CONN}@{BUCKET}/{self._prefix}" if self.failpoint.in_parts else str(self.landed),
            "arguments": arguments,
        }

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
            self.evolink.control.inject(
                fault.name, fault.endpoint, fault.times, after=fault.after, **{fault.option: fault.value}
            )
        if self.failpoint.faults:
            self.checkpoints.release()

    @property
    def is_at_failpoint(self) -> bool:
        """Whether the run has reached the failpoint."""
        state = self.evolink.control.state()
        if any(fault["fired"] < fault["times"] for fault in state["faults"]):
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
            return self.api.task_states(self.failpoint.dag, self.run_id)
        return {}

    def is_over(self) -> bool:
        """Return whether the run has ended, and remember when."""
        if self.ended_at is None:
            with suppress(httpx.HTTPError):
                states = self.tasks()
                if (
                    self.api.run_state(self.failpoint.dag, self.run_id) in {"success", "failed"}
                    and set(states.values()) <= OVER
                ):
                    self.ended_at = time.monotonic()
        return self.ended_at is not None

    def trigger_has_left(self) -> bool:
        """Return whether the trigger, if there is one, has been cleaned up."""
        return self.failpoint.on_worker or self.checkpoints.arrival("left") is not None

    def clear(self) -> None:
        """Clear the run from its first task on, as a user would."""
        task_ids = list(self.tasks_of_dag)
        form = {"dag_run_id": self.run_id, "task_ids": task_ids, "only_failed": False, "dry_run": False}
        self.api.post(f"dags/{self.failpoint.dag}/clearTaskInstances", form)
        self.ended_at = None

    def mark(self, state: str) -> None:
        """Set the state of the task at the failpoint, as a user would."""
        self.api.patch(f"{self.path}/taskInstances/{self.failpoint.task}", {"new_state": state})

    def facts(self) -> Findings:
        """Gather what the invariants are checked against."""
        state = self.evolink.control.state()
        generations = state["generations"]
        return Facts(
            generations=generations,
            submissions=state["requests"]["submit"],
            delivered=delivered(generations),
            tasks=self.tasks(),
            log=self.log(),
            xcom={key: self.xcom("generate", key) for key in ("generation_id", "return_value")},
            ledger=ledger_of(self.api, f"{self.path}/taskInstances/generate"),
            returned=self._returned(),
            files=self._files(),
            uploads=self._uploads(),
            may_resend=self.resends and not self.failpoint.fails_on_unknown,
            may_stop=self.failpoint.fails_on_unknown,
        )

    def _returned(self) -> Sequence[Mapping[str, Any]]:
        return self.xcom("land") or []

    def log(self) -> str:
        """Return the log of all attempts of the task that submits."""
        task = self.tasks_of_dag[0]
        return "\n".join(self.api.log(self.failpoint.dag, self.run_id, task, number) for number in self.tries(task))

    def xcom(self, task: str, key: str = "return_value") -> Any:
        """Return an XCom value of a task; None if there is none."""
        return self.api.xcom(self.failpoint.dag, self.run_id, task, key)

    def tries(self, task: str) -> list[int]:
        """Return the try numbers of a task."""
        tries = self.api.get(f"{self.path}/taskInstances/{task}/tries")["task_instances"]
        return sorted({attempt["try_number"] for attempt in tries if attempt["try_number"] > 0})

    def _files(self) -> dict[str, str]:
        if self.failpoint.in_parts:
            return self.s3.digests(self._prefix)
        return {str(path): _digest(path.read_bytes()) for path in self.landed.rglob("*") if path.is_file()}

    def _uploads(self) -> list[str]:
        pending = self.s3.pending() if self.failpoint.in_parts else []
        return [upload["Key"] for upload in pending if upload["Key"].startswith(f"{self._prefix}/")]

    @property
    def landed(self) -> Path:
        """Its destination."""
        return self.folder / "landed"

    @property
    def _prefix(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def path(self) -> str:
        """Its path below that of the API."""
        return f"dags/{self.failpoint.dag}/dagRuns/{quote(self.run_id, safe='')}"


@dataclass
class OneTaskRun(Run):
    """A DAG run of one task that generates and lands, disrupted when the generation is in its ledger."""

    tasks_of_dag: ClassVar[Sequence[str]] = ("generate",)
    resends: ClassVar[bool] = False

    def _returned(self) -> Sequence[Mapping[str, Any]]:
        return (self.xcom("generate") or {}).get("landed", [])


def delivered(generations: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the SHA-256 of what EvoLink delivers, by generation id."""
    return {
        generation["id"]: _digest(httpx.get(generation["results"][0]).content)
        for generation in generations
        if generation["results"]
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
