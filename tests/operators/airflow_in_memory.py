"""
A task instance under an Airflow and an EvoLink in memory, both of which can be told to fail at any step.

Real are the operator, the ledger, the decision, the client, and the emulator that answers it; the network between the
two is a call in this process, Airflow's stores are dictionaries, and the time is the world's own.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_evolink.api import client
from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.faults.registry import FaultRegistry
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY, Settings
from airflow_provider_evolink.operators import base
from airflow_provider_evolink.operators import evolink as operators
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.operators.task_state import LEDGER_ASSET
from airflow_provider_evolink.polling import confirmed_read
from airflow_provider_evolink.submission import submitter
from tests.operators.orders import WorkerDied
from tests.task_harness import Store, TaskHarness, TaskInstance

URL = "http://127.0.0.1:9"
FINAL_EVENT = {"outcome": "terminal", "status": "completed"}


def _refusal(status: int) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": f"of_{status}", "message": "no"}})


# How a submission ends that EvoLink never sees, and one that it has taken.
INSTEAD: dict[str, httpx.Response | BaseException] = {
    "unreachable": httpx.ConnectError("no route"),
    "dies before": WorkerDied(),
    "reset": httpx.ReadError("reset"),
    "html": httpx.Response(200, html="<html>"),
    **{str(status): _refusal(status) for status in (402, 403, 429, 503)},
}
AFTERWARDS: dict[str, httpx.Response | BaseException] = {
    "dies after": WorkerDied(),
    "lost": httpx.ReadError("lost"),
    "lost behind 503": _refusal(503),
}


class FaultyStore(Store):
    """A store whose next writes go as planned: ``ok``, ``fails``, ``dies before`` or ``dies after``."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[str] = []

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Write as planned."""
        fate = self.plan.pop(0) if self.plan else "ok"
        if fate == "fails":
            raise RuntimeError("the API server is down")
        if fate == "dies before":
            raise WorkerDied
        super().set(key, value, retention=retention)
        if fate == "dies after":
            raise WorkerDied


class MovingTime:
    """The time module of a world in which hours pass between two lines."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.ahead

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.ahead += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class FaultyWire(httpx.AsyncBaseTransport):
    """The network to an emulator, whose next submissions go as planned; with ``is_down`` no read comes through."""

    def __init__(self, emulator: Emulator) -> None:
        self._inner = httpx.ASGITransport(emulator.application())
        self.plan: list[str] = []
        self.sent: Counter[str] = Counter()
        self.sent_after_kill = 0
        self.kill: Callable[[], None] | None = None
        self.is_killed = False
        self.is_down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request as planned."""
        if request.method == "GET" and self.is_down:
            raise httpx.ReadError("down", request=request)
        fate = self.plan.pop(0) if request.method == "POST" and self.plan else "ok"
        if request.method == "POST":
            self.sent_after_kill += self.is_killed
        if fate.startswith("killed at ") and self.kill is not None:
            self.is_killed = True
            self.kill()
        fate = fate.removeprefix("killed at ")
        # A 429 turns the request away, and what can't connect never leaves.
        if request.method == "POST" and fate not in {"429", "unreachable"}:
            self.sent[request.headers["idempotency-key"]] += 1
        if fate in INSTEAD:
            return _come(INSTEAD[fate])
        response = await self._inner.handle_async_request(request)
        whole = httpx.Response(response.status_code, headers=response.headers, content=await response.aread())
        return _come(AFTERWARDS.get(fate, whole))


def _come(end: httpx.Response | BaseException) -> httpx.Response:
    if isinstance(end, BaseException):
        raise end
    return httpx.Response(end.status_code, headers=end.headers, stream=httpx.ByteStream(end.content))


class World:
    """One task instance, and what it has come to."""

    def __init__(
        self, patch: pytest.MonkeyPatch, *, calls: int = 1, empties_on_clear: bool = False, **policies: Any
    ) -> None:
        """
        Begin with an empty ledger.

        :param calls: how many operators the task executes; more than one are executed by hand inside another task.
        :param empties_on_clear: whether a clear empties the task's state store, as in Airflow 3.4.
        """
        self.emulator = Emulator(Settings())
        self.wire = FaultyWire(self.emulator)
        self.harness = TaskHarness(store=FaultyStore())
        self.copies = Store()
        self.time = MovingTime()
        self.outer = BaseOperator(task_id="outer")
        self.calls, self.empties_on_clear = calls, empties_on_clear
        self.policies = policies
        self.prompt = "A lighthouse"
        self.is_deferred = False
        self.delivered: list[dict[str, Any]] | None = None
        self.errors: list[str] = []
        connection = f'{{"conn_type": "evolink", "host": "{URL}", "password": "{DEFAULT_API_KEY}"}}'
        patch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", connection)
        patch.setattr(client, "HttpxTransport", functools.partial(client.HttpxTransport, network=self.wire))
        patch.setattr(client, "_BACK_OFF", lambda _: 0.0)
        for module in (submitter, base, confirmed_read, operators):
            patch.setattr(module, "time", self.time)
        patch.setattr("airflow_provider_evolink.submission.send_outcome.PAUSE_SECONDS", 0.0)
        patch.setattr("airflow_provider_evolink.submission.submitter.PAUSE_SECONDS", 0.0)

    @property
    def context(self) -> Any:
        """The context of this try."""
        inside = {"task": self.outer} if self.calls > 1 else {}
        return {**self.harness.context, "asset_state_store": {LEDGER_ASSET: self.copies}, **inside}

    def attempt(self, *, cleared: bool, writes: Iterable[str] = (), sendings: Iterable[str] = ()) -> None:
        """Run the next try up to its deferral or its end."""
        self.harness.ti.try_number += 1
        self.harness.ti.xcoms.clear()
        self.outer = BaseOperator(task_id="outer")
        if cleared:
            self.harness.ti.max_tries = self.harness.ti.try_number
            if self.empties_on_clear:
                self.harness.store.held.clear()

        def stint() -> list[dict[str, Any]]:
            context = self.context
            return [self._operator(call).execute(context) for call in range(self.calls)]

        self._run(stint, writes, sendings)

    def wake_a_late_try(self) -> None:
        """Let a first try go on whose place was taken before it had read or written: Airflow refuses what it writes."""
        kept = self.harness, self.outer, self.is_deferred, self.delivered
        self.harness = TaskHarness(ti=TaskInstance(try_number=0), store=FaultyStore())
        self.attempt(cleared=False, writes=["fails"] * 8)
        self.harness, self.outer, self.is_deferred, self.delivered = kept

    def resume(self, *, timed_out: bool, writes: Iterable[str] = ()) -> None:
        """Let the deferral end: by the trigger's event, or because it took too long."""
        event = {"event": {**FINAL_EVENT, "generation_id": self.harness.ti.xcoms.get("generation_id")}}
        way = ("__fail__", {"error": "Trigger timeout"}) if timed_out else ("execute_complete", event)
        operator = self._operator(0)
        self._run(lambda: [operator.resume_execution(*way, self.context)], writes, ())

    def pass_time(self, seconds: float) -> None:
        """Let time pass, here and at EvoLink."""
        self.time.ahead += seconds
        self.emulator.backend.clock.advance(seconds)

    def settle_down(self) -> None:
        """End every disturbance, and let EvoLink finish what it has begun."""
        self.wire.is_down = False
        self.emulator.backend.faults = FaultRegistry()
        self.emulator.backend.clock.advance(10_000)

    @property
    def paid(self) -> set[str]:
        """The generations that EvoLink charges, or will."""
        return {made.id for made in self.emulator.backend.generations.values() if made.outcome.status == "completed"}

    def is_findable(self, generation_id: str) -> bool:
        """Whether the ledger leads to a generation, by its id or by the key it was sent under."""
        kept = str([self.harness.store.held, self.copies.held])
        return (
            generation_id in kept or str(self.emulator.backend.generations[generation_id].spec.idempotency_key) in kept
        )

    def _operator(self, call: int) -> EvoLinkGenerateOperator:
        parameters = {"prompt": f"{self.prompt}, scene {call}", "duration": 3}
        operator = EvoLinkGenerateOperator(
            task_id="task", model="gemini-omni-flash-text-to-video", parameters=parameters, **self.policies
        )
        # Airflow tells its task: that is the one around what is executed by hand.
        self.wire.kill = operator.on_kill if self.calls == 1 else self._kill_outer
        return operator

    def _kill_outer(self) -> None:
        self.outer.on_kill()

    def _run(self, stint: Any, writes: Iterable[str], sendings: Iterable[str]) -> None:
        store: Any = self.harness.store
        store.plan, self.wire.plan, self.wire.is_killed = list(writes), list(sendings), False
        self.is_deferred, self.delivered = False, None
        try:
            self.delivered = stint()
        except TaskDeferred:
            self.is_deferred = True
        except (WorkerDied, Exception) as error:
            self.errors.append(f"{type(error).__name__}: {error}")
        finally:
            store.plan, self.wire.plan = [], []
