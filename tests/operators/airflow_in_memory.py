# SPDX-License-Identifier: Apache-2.0
"""A task instance under an Airflow and an EvoLink in memory, both of which fail on demand at any step.

The operator, the ledger, the decision, the client and the emulator are real. The network between the last two is a
call within the process, Airflow's stores are dictionaries, and the clock is simulated.
"""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import BaseOperator

from airflow_provider_evolink.api import client
from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.faults.registry import FaultRegistry
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY, Settings
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution import generation_wait, task_ledger
from airflow_provider_evolink.operators import base, generate
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.polling import confirmed_read
from airflow_provider_evolink.submission import remote_state, submitter
from tests.operators.submissions import TEXT, WorkerDied
from tests.task_harness import Store, TaskHarness, TaskInstance, asset_stores, ledger_in_files
from tests.uploading import LINKS_ONLY, forget_links

URL = "http://127.0.0.1:9"
FINAL_EVENT = {"outcome": "terminal", "status": "completed"}


def _refusal(status: int) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": f"of_{status}", "message": "no"}})


# How a submission ends that does not reach EvoLink, and how one that EvoLink has accepted.
FAULTY_RESPONSES: dict[str, httpx.Response | BaseException] = {
    "unreachable": httpx.ConnectError("no route"),
    "dies before": WorkerDied(),
    "connection_reset": httpx.ReadError("reset"),
    "html_response": httpx.Response(200, html="<html>"),
    **{str(status): _refusal(status) for status in (402, 403, 429, 503)},
}
AFTERWARDS: dict[str, httpx.Response | BaseException] = {
    "dies after": WorkerDied(),
    "lost": httpx.ReadError("lost"),
    "lost behind 503": _refusal(503),
}


class FaultyStore(Store):
    """A store whose next writes have planned outcomes: ``ok``, ``fails``, ``dies before`` or ``dies after``."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[str] = []

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Write with the planned outcome."""
        outcome = self.plan.pop(0) if self.plan else "ok"
        if outcome == "fails":
            raise RuntimeError("the API server is down")
        if outcome == "dies before":
            raise WorkerDied
        super().set(key, value, retention=retention)
        if outcome == "dies after":
            raise WorkerDied


class SimulatedTime:
    """Replaces the time module: sleeping takes no time, and hours can pass between two lines."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.ahead

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.ahead += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class FaultyNetwork(httpx.AsyncBaseTransport):
    """The network to an emulator, whose next submissions have planned outcomes.

    If it ``is_down``, all reads fail; so do the next ``failing_uploads``.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._inner = httpx.ASGITransport(emulator.application())
        self.plan: list[str] = []
        self.failing_uploads = 0
        self.sent: Counter[str] = Counter()
        self.sent_after_kill = 0
        self.kill: Callable[[], None] | None = None
        self.is_killed = False
        self.is_down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request with the planned outcome."""
        if request.method == "GET" and self.is_down:
            raise httpx.ReadError("down", request=request)
        is_submission = "idempotency-key" in request.headers
        if request.method == "POST" and not is_submission and self.failing_uploads > 0:
            self.failing_uploads -= 1
            return _respond(_refusal(503))
        outcome = self.plan.pop(0) if is_submission and self.plan else "ok"
        if is_submission:
            self.sent_after_kill += self.is_killed
        if outcome.startswith("killed at ") and self.kill is not None:
            self.is_killed = True
            self.kill()
        outcome = outcome.removeprefix("killed at ")
        # A 429 is not accepted, and a request without a connection is never sent.
        if is_submission and outcome not in {"429", "unreachable"}:
            self.sent[request.headers["idempotency-key"]] += 1
        if outcome in FAULTY_RESPONSES:
            return _respond(FAULTY_RESPONSES[outcome])
        response = await self._inner.handle_async_request(request)
        received = httpx.Response(response.status_code, headers=response.headers, content=await response.aread())
        return _respond(AFTERWARDS.get(outcome, received))


def _respond(outcome: httpx.Response | BaseException) -> httpx.Response:
    if isinstance(outcome, BaseException):
        raise outcome
    return httpx.Response(outcome.status_code, headers=outcome.headers, stream=httpx.ByteStream(outcome.content))


class SimulatedTask:
    """One task instance, and everything around it."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        *,
        calls: int = 1,
        empties_on_clear: bool = False,
        picture: Path | None = None,
        ledgers: Path | None = None,
        **policies: Any,
    ) -> None:
        """Start with an empty ledger.

        :param calls: number of operators to execute; more than one are executed by hand inside another task.
        :param empties_on_clear: whether a clear empties the task's state store, as in Airflow 3.4.
        :param picture: a file that the generations are made from; without it they are made from text.
        :param ledgers: where the ledger is in numbered files; without it, it is in Airflow's store.
        :param policies: arguments of the operators.
        """
        self.in_files = ledgers is not None
        if ledgers is not None:
            ledger_in_files(patch, ledgers)
        self.emulator = Emulator(Settings())
        self.network = FaultyNetwork(self.emulator)
        self.harness = TaskHarness(store=FaultyStore())
        self.copies = Store()
        self.time = SimulatedTime()
        self.outer = BaseOperator(task_id="outer")
        self.calls, self.empties_on_clear = calls, empties_on_clear
        self.policies = policies
        self.picture = picture
        self.prompt = "A lighthouse"
        self.is_deferred = False
        self.delivered: list[dict[str, Any]] | None = None
        self.error: BaseException | None = None
        connection = f'{{"conn_type": "evolink", "host": "{URL}", "password": "{DEFAULT_API_KEY}"}}'
        patch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", connection)
        patch.setattr(client, "HttpxTransport", functools.partial(client.HttpxTransport, network=self.network))
        patch.setattr(client, "_BACK_OFF", lambda _: 0.0)
        forget_links(patch)
        for module in (submitter, remote_state, base, generation_wait, confirmed_read, generate, task_ledger):
            patch.setattr(module, "time", self.time)
        patch.setattr("airflow_provider_evolink.submission.send_outcome.PAUSE_SECONDS", 0.0)
        patch.setattr("airflow_provider_evolink.submission.submitter.PAUSE_SECONDS", 0.0)

    @property
    def context(self) -> Any:
        """The context of this try."""
        inside = {"task": self.outer} if self.calls > 1 else {}
        return {**self.harness.context, **asset_stores(self.copies), **inside}

    def attempt(self, *, cleared: bool, writes: Iterable[str] = (), sends: Iterable[str] = ()) -> None:
        """Run the next try until it is deferred or ends."""
        self.harness.ti.try_number += 1
        self.harness.ti.xcoms.clear()
        self.outer = BaseOperator(task_id="outer")
        if cleared:
            self.harness.ti.max_tries = self.harness.ti.try_number
            if self.empties_on_clear:
                self.harness.store.held.clear()

        def execute() -> list[dict[str, Any]]:
            context = self.context
            return [self._operator(call).execute(context) for call in range(self.calls)]

        self._run(execute, writes, sends)

    def wake_a_late_try(self) -> None:
        """Continue a first try that was superseded before it had read or written: Airflow refuses its writes.

        Files accept them as long as no later try has written; that one then finds what this one has paid for.
        """
        saved = self.harness, self.outer, self.is_deferred, self.delivered
        self.harness = TaskHarness(ti=TaskInstance(try_number=0), store=FaultyStore())
        self.attempt(cleared=False, writes=() if self.in_files else ["fails"] * 8)
        self.harness, self.outer, self.is_deferred, self.delivered = saved

    def resume(self, *, timed_out: bool, writes: Iterable[str] = ()) -> None:
        """End the deferral, by the trigger's event or by its timeout."""
        event = {"event": {**FINAL_EVENT, "generation_id": self.harness.ti.xcoms.get("generation_id")}}
        resumption = ("__fail__", {"error": "Trigger timeout"}) if timed_out else ("execute_complete", event)
        operator = self._operator(0)
        self._run(lambda: [operator.resume_execution(*resumption, self.context)], writes, ())

    def pass_time(self, seconds: float) -> None:
        """Let time pass, here and at EvoLink."""
        self.time.ahead += seconds
        self.emulator.backend.clock.advance(seconds)

    def end_all_faults(self) -> None:
        """End all faults, and let EvoLink finish its generations."""
        self.network.is_down = False
        self.network.failing_uploads = 0
        self.emulator.backend.faults = FaultRegistry()
        self.emulator.backend.clock.advance(10_000)

    @property
    def paid(self) -> set[str]:
        """Ids of the generations that EvoLink charges for, or will."""
        return {
            generation.id
            for generation in self.emulator.backend.generations.values()
            if generation.outcome.status == "completed"
        }

    def is_findable(self, generation_id: str) -> bool:
        """Return whether the ledger leads to a generation, by its id or by its idempotency key."""
        ledgers = str([self.harness.store.held, self.copies.held])
        idempotency_key = self.emulator.backend.generations[generation_id].spec.idempotency_key
        return generation_id in ledgers or str(idempotency_key) in ledgers

    def in_doubt_for(self) -> float:
        """Return for how many seconds the oldest open submission in the ledger has been in doubt."""
        stored = [json.loads(text) for store in (self.harness.store, self.copies) for text in store.held.values()]
        since = [entry.get("in_doubt_since", entry["intent_at"]) for entry in stored if entry["phase"] == "intent"]
        return self.time.time() - min(since, default=self.time.time())

    def _operator(self, call: int) -> EvoLinkGenerateOperator:
        parameters: dict[str, Any] = {"prompt": f"{self.prompt}, scene {call}", "duration": 3}
        if self.picture is not None:
            parameters["image_urls"] = [str(self.picture)]
        model = TEXT if self.picture is None else LINKS_ONLY
        operator = EvoLinkGenerateOperator(task_id="task", model=model, parameters=parameters, **self.policies)
        # Airflow kills its own task, which is the one around operators that are executed by hand.
        self.network.kill = operator.on_kill if self.calls == 1 else self._kill_outer
        return operator

    def _kill_outer(self) -> None:
        self.outer.on_kill()

    def _run(self, execute: Any, writes: Iterable[str], sends: Iterable[str]) -> None:
        store: Any = self.harness.store
        store.plan, self.network.plan, self.network.is_killed = list(writes), list(sends), False
        planned = {outcome.removeprefix("killed at ") for outcome in self.network.plan}
        # A misspelled outcome would count as "ok", and test nothing.
        assert planned <= {"ok", *FAULTY_RESPONSES, *AFTERWARDS}
        self.is_deferred, self.delivered = False, None
        try:
            self.delivered = execute()
        except TaskDeferred:
            self.is_deferred = True
        except (WorkerDied, Exception) as error:
            self.error = error.error if isinstance(error, EvoLinkFailException) else error
        finally:
            store.plan, self.network.plan = [], []
