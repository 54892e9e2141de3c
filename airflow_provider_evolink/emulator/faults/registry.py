# SPDX-License-Identifier: Apache-2.0
"""The active faults, and which of them fires on a request."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.emulator.faults.kinds import FAULT_KINDS


class InvalidFaultError(ValueError):
    """The requested fault does not exist, or does not support this endpoint, option or probability."""


@dataclass
class Fault:
    """An active fault.

    :param name: name of its kind.
    :param on: endpoints that it fires on.
    :param times: how many times it fires in all; None for no limit.
    :param after: number of matching requests that it still lets pass.
    :param options: its options, with defaults filled in.
    :param probability: of firing on a request that no earlier fault fired on.
    :param fired: how many times it has fired.
    """

    name: str
    on: frozenset[str]
    times: int | None
    after: int
    options: Mapping[str, Any]
    probability: float = 1.0
    fired: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the fault as JSON values."""
        return {**vars(self), "on": sorted(self.on), "options": dict(self.options)}


class FaultRegistry:
    """The injected faults, in order of injection.

    :param rng: decides where the probability is less than 1.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()
        self._faults: list[Fault] = []

    def inject(
        self, name: str, on: str, times: int | None, after: int, options: Mapping[str, Any], probability: float = 1.0
    ) -> Fault:
        """Activate a fault.

        :param name: name of its kind.
        :param on: an endpoint, or ``any`` for all that the fault supports.
        :param times: how many times it fires; None for no limit.
        :param after: number of matching requests to let pass first.
        :param options: see ``FAULT_KINDS``.
        :param probability: more than 0, at most 1. A fault gets only the requests that no earlier fault fired on.
        :raises InvalidFaultError: the fault does not exist, or does not support this endpoint, option or probability.
        """
        kind = FAULT_KINDS.get(name)
        if kind is None:
            raise InvalidFaultError(f"`name`={name!r} is invalid: must be one of {', '.join(sorted(FAULT_KINDS))}")
        endpoints = kind.endpoints if on == "any" else kind.endpoints & {on}
        if not endpoints:
            allowed = ", ".join(["any", *sorted(kind.endpoints)])
            raise InvalidFaultError(f"`on`={on!r} is invalid for the fault {name}: must be one of {allowed}")
        if unknown := set(options) - set(kind.options):
            allowed = f"among {', '.join(sorted(kind.options))}" if kind.options else "empty"
            raise InvalidFaultError(f"`options`={sorted(unknown)} is invalid for the fault {name}: must be {allowed}")
        if not 0 < probability <= 1:
            raise InvalidFaultError(
                f"`probability`={probability!r} is invalid for the fault {name}: must be more than 0 and at most 1"
            )
        fault = Fault(name, endpoints, times, after, {**kind.options, **options}, probability)
        self._faults.append(fault)
        return fault

    def fire(self, endpoint: str, stage: str) -> Fault | None:
        """Return the first fault that fires on a request, and count it; None if none does.

        :param endpoint: endpoint of the request.
        :param stage: stage that the request has reached; see ``FaultKind``.
        """
        for fault in self._faults:
            if endpoint not in fault.on or FAULT_KINDS[fault.name].stage != stage or fault.times == fault.fired:
                continue
            if self._is_due(fault):
                fault.fired += 1
                return fault
        return None

    def _is_due(self, fault: Fault) -> bool:
        if fault.after > 0:
            fault.after -= 1
            return False
        return fault.probability == 1 or self._rng.random() < fault.probability

    def describe(self) -> list[dict[str, Any]]:
        """Return all faults as JSON values, including exhausted ones."""
        return [fault.describe() for fault in self._faults]
