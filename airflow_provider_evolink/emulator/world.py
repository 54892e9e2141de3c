# SPDX-License-Identifier: Apache-2.0
"""Everything the emulator remembers. A reset is a new world."""

from __future__ import annotations

import heapq
import random
import string
import time
from collections import Counter
from datetime import timedelta
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator import answers
from airflow_provider_evolink.emulator.accounts import Account
from airflow_provider_evolink.emulator.clock import Clock
from airflow_provider_evolink.emulator.faults import ENDPOINTS, Faults
from airflow_provider_evolink.emulator.idempotency import Keys
from airflow_provider_evolink.emulator.jobs import Destiny, Job, Order, State, state
from airflow_provider_evolink.emulator.leaks import Leaks
from airflow_provider_evolink.emulator.limits import QueryLimit
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.emulator.uploads import Uploads

_ID_LETTERS = string.ascii_lowercase + string.digits


class World:
    """An account at EvoLink, and all that happened on it.

    :param settings: how it starts.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock(settings.clock)
        self.account = Account(settings.credits)
        self.keys = Keys()
        self.uploads = Uploads()
        self.jobs: dict[str, Job] = {}
        self.requests: Counter[str] = Counter()
        self.callbacks: list[dict[str, Any]] = []
        self.leaks = Leaks(settings.keys)
        self.link_life: timedelta | None = None
        self._random = random.Random(settings.seed)
        self.faults = Faults(self._random)
        self.query_limit = QueryLimit(self.clock, settings.query_limit)
        self._files: dict[str, tuple[Job, int]] = {}
        self._unsettled: list[tuple[float, str]] = []
        self._settled: dict[str, float] = {}

    def accept(self, order: Order, destiny: Destiny) -> Job:
        """Start a generation, and reserve its credits.

        :param order: what was asked for.
        :param destiny: how it will go.
        :raises InsufficientCreditsError: nothing was started.
        """
        created = int(time.time())
        job = Job(
            id=f"task-unified-{created}-{''.join(self._random.choices(_ID_LETTERS, k=8))}",
            order=order,
            destiny=destiny,
            created=created,
            submitted=self.clock.now(),
            secret=f"{self._random.getrandbits(128):032x}",
            link_life=catalog.link_life(order.model).total_seconds(),
        )
        self.account.reserve(job.id, order.quote.reserved)
        self.jobs[job.id] = job
        self._files.update({path: (job, index) for index, path in enumerate(job.paths)})
        heapq.heappush(self._unsettled, (job.ends, job.id))
        return job

    def state(self, job: Job) -> State:
        """Tell how far a generation is."""
        return state(job, self.clock.now())

    def settle(self) -> None:
        """Charge what was delivered since the last time, release what was not, and note the callbacks."""
        now = self.clock.now()
        while self._unsettled and self._unsettled[0][0] <= now:
            _, generation_id = heapq.heappop(self._unsettled)
            job = self.jobs[generation_id]
            price = job.order.quote.price if job.destiny.status == "completed" else 0.0
            self.account.settle(job.id, price)
            self._settled[job.id] = price
            if job.order.callback_url:
                body = answers.detail(job, state(job, now))
                self.callbacks.append({"url": job.order.callback_url, "body": body})

    def charged(self, job: Job) -> float:
        """Return the credits that a generation has cost so far."""
        return self._settled.get(job.id, 0.0)

    def file_at(self, path: str) -> tuple[Job, int] | None:
        """Return whose file is served at a path, and its number; None if there is none (yet)."""
        found = self._files.get(path)
        return found if found and self.state(found[0]).status == "completed" else None

    def is_expired(self, job: Job) -> bool:
        """Tell whether the links of a finished generation are dead. Real time counts, whatever the clock's pace."""
        life = job.link_life if self.link_life is None else self.link_life.total_seconds()
        return self.clock.ago(job.ends) >= life

    def describe(self) -> dict[str, Any]:
        """Return the whole state as JSON values."""
        self.settle()
        return {
            "clock": {"factor": self.clock.factor, "now": round(self.clock.now(), 3)},
            "requests": {"total": self.requests.total()} | {name: self.requests[name] for name in sorted(ENDPOINTS)},
            "limited_queries": self.query_limit.refused,
            "leaked_keys": self.leaks.found.total(),
            "leaks": dict(self.leaks.found),
            "credits": {name: getattr(self.account, name) for name in ("balance", "reserved", "charged", "released")},
            "generations": [self._describe(job) for job in self.jobs.values()],
            "callbacks": self.callbacks,
            "uploads": self.uploads.describe(),
            "faults": self.faults.describe(),
        }

    def _describe(self, job: Job) -> dict[str, Any]:
        now = self.state(job)
        return {
            "id": job.id,
            "model": job.order.model,
            "prompt": job.order.prompt,
            "status": now.status,
            "progress": now.progress,
            "idempotency_key": job.order.idempotency_key,
            "digest": job.order.digest,
            "reserved": job.order.quote.reserved,
            "charged": self.charged(job),
            "created": job.created,
            "links": list(job.links) if now.status == "completed" else [],
        }
