# SPDX-License-Identifier: Apache-2.0
"""The state of the emulator. A reset replaces it with a new backend."""

from __future__ import annotations

import heapq
import random
import string
import time
from collections import Counter
from datetime import timedelta

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator.faults.registry import FaultRegistry
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.emulator.state.account import Account
from airflow_provider_evolink.emulator.state.api_key_leaks import ApiKeyLeaks
from airflow_provider_evolink.emulator.state.clock import Clock
from airflow_provider_evolink.emulator.state.generations import (
    Generation,
    GenerationState,
    PlannedOutcome,
    SubmissionSpec,
    state_at,
)
from airflow_provider_evolink.emulator.state.idempotency import IdempotencyKeys
from airflow_provider_evolink.emulator.state.query_limit import QueryLimit
from airflow_provider_evolink.emulator.state.uploads import Uploads
from airflow_provider_evolink.emulator.state.variants import Variants

_ID_CHARACTERS = string.ascii_lowercase + string.digits


class Backend:
    """One EvoLink account and everything that has happened on it.

    :param settings: initial settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock(settings.clock)
        self.account = Account(settings.credits)
        self.idempotency_keys = IdempotencyKeys()
        self.uploads = Uploads(self.clock)
        self.generations: dict[str, Generation] = {}
        self.requests: Counter[str] = Counter()
        self.callbacks: list[Generation] = []
        self.api_key_leaks = ApiKeyLeaks(settings.api_keys)
        self.link_ttl: timedelta | None = None
        self.variants = Variants()
        self._random = random.Random(settings.seed)
        self.faults = FaultRegistry(self._random)
        self.query_limit = QueryLimit(self.clock, settings.query_limit)
        self._files: dict[str, tuple[Generation, int]] = {}
        self._unsettled: list[tuple[float, str]] = []
        self._charges: dict[str, float] = {}

    def accept(self, spec: SubmissionSpec, outcome: PlannedOutcome) -> Generation:
        """Start a generation, and reserve its credits.

        :param spec: the validated submission.
        :param outcome: how it will run and end.
        :raises InsufficientCreditsError: the balance is too small; nothing was started.
        """
        created = int(time.time())
        generation = Generation(
            id=f"task-unified-{created}-{''.join(self._random.choices(_ID_CHARACTERS, k=8))}",
            spec=spec,
            outcome=outcome,
            created=created,
            submitted_at=self.clock.now(),
            secret=f"{self._random.getrandbits(128):032x}",
            link_ttl=catalog.link_life(spec.model).total_seconds(),
        )
        self.account.reserve(generation.id, spec.quote.reserved)
        self.generations[generation.id] = generation
        self._files.update({path: (generation, index) for index, path in enumerate(generation.file_paths)})
        heapq.heappush(self._unsettled, (generation.ends_at, generation.id))
        return generation

    def state_of(self, generation: Generation) -> GenerationState:
        """Return the present state of a generation."""
        return state_at(generation, self.clock.now())

    def settle(self) -> None:
        """Charge or release the credits of generations that ended since the last call, and record their callbacks."""
        now = self.clock.now()
        while self._unsettled and self._unsettled[0][0] <= now:
            _, generation_id = heapq.heappop(self._unsettled)
            generation = self.generations[generation_id]
            price = generation.spec.quote.price if generation.outcome.status == "completed" else 0.0
            self.account.settle(generation_id, price)
            self._charges[generation_id] = price
            if generation.spec.callback_url:
                self.callbacks.append(generation)

    def charged(self, generation: Generation) -> float:
        """Return the credits charged for a generation so far."""
        return self._charges.get(generation.id, 0.0)

    def find_file(self, path: str) -> tuple[Generation, int] | None:
        """Return the generation whose file is served at a path, and the file's index; None if there is none (yet)."""
        found = self._files.get(path)
        return found if found and self.state_of(found[0]).status == "completed" else None

    def is_expired(self, generation: Generation) -> bool:
        """Return whether the links of an ended generation have expired. Their lifetime is in real seconds."""
        ttl = generation.link_ttl if self.link_ttl is None else self.link_ttl.total_seconds()
        return self.clock.real_seconds_since(generation.ends_at) >= ttl
