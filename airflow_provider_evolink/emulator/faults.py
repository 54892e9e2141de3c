# SPDX-License-Identifier: Apache-2.0
"""Which faults there are, where they can strike, and whose turn it is. What a fault does is done elsewhere."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ENDPOINTS = frozenset({"submit", "read", "batch", "list", "credits", "models", "upload", "quota", "media"})
_JSON = ENDPOINTS - {"media"}


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    :param stage: when it strikes: `answer` (instead of a request's answer), `acceptance` (before a submission is
        accepted) or `generation` (in a generation's further life).
    :param where: the endpoints it can strike at.
    :param options: what can be chosen, with defaults. Where there is `processed`, it tells whether the request
        takes effect before its answer is replaced; where there is `message`, it stands for EvoLink's own words.
    """

    stage: str
    where: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)


_MEDIA, _SUBMIT = frozenset({"media"}), frozenset({"submit"})
_FAILURE = {"code": "content_policy_violation", "message": None}  # without a message, one that fits the code

KINDS: Mapping[str, Kind] = {
    # the connection
    "lost_reply": Kind("answer", ENDPOINTS),
    "reset": Kind("answer", ENDPOINTS),
    "slow": Kind("answer", ENDPOINTS, {"seconds": 5.0}),
    "endless_body": Kind("answer", ENDPOINTS),
    # the answer
    "rate_limit": Kind("answer", ENDPOINTS, {"processed": False, "retry_after": None}),
    "server_error": Kind("answer", ENDPOINTS, {"processed": False, "status": 500}),
    "refused": Kind("answer", ENDPOINTS, {"processed": False, "status": 403, "message": None}),
    "html": Kind("answer", ENDPOINTS, {"processed": False, "status": 200}),
    "broken_json": Kind("answer", _JSON),
    "wrong_shape": Kind("answer", _JSON, {"body": ["unexpected"]}),
    "redirect": Kind("answer", ENDPOINTS, {"processed": False, "location": "http://169.254.169.254/", "status": 302}),
    "vanished": Kind("answer", frozenset({"read", "batch"})),
    "no_batch": Kind("answer", frozenset({"batch"})),
    "ignore_idempotency": Kind("answer", _SUBMIT),
    # the media
    "truncated_media": Kind("answer", _MEDIA, {"share": 0.5}),
    "corrupt_media": Kind("answer", _MEDIA, {"from_byte": 0}),
    "expired_link": Kind("answer", _MEDIA, {"status": 410}),
    "no_range": Kind("answer", _MEDIA),
    # the submission
    "slow_accept": Kind("acceptance", _SUBMIT, {"seconds": 5.0}),
    # the generation
    "task_failure": Kind("generation", _SUBMIT, _FAILURE),
    "moderation": Kind("generation", _SUBMIT, _FAILURE),
    "cancelled": Kind("generation", _SUBMIT),
    "unknown_status": Kind("generation", _SUBMIT, {"status": "queued_upstream"}),
    "no_results": Kind("generation", _SUBMIT),
    "result_data_only": Kind("generation", _SUBMIT),
    "stall": Kind("generation", _SUBMIT, {"progress": 50}),
}


class UnknownFaultError(ValueError):
    """A fault was asked for that does not exist, or not like this."""


@dataclass
class Fault:
    """A fault that is switched on.

    :param name: its kind's name.
    :param on: the endpoints it strikes at.
    :param times: how often it still strikes; None until reset.
    :param after: requests that it still lets pass.
    :param options: as chosen, with defaults filled in.
    :param chance: of striking at each request that is then left to it.
    :param struck: how often it struck.
    """

    name: str
    on: frozenset[str]
    times: int | None
    after: int
    options: Mapping[str, Any]
    chance: float = 1.0
    struck: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the fault as JSON values."""
        return {**vars(self), "on": sorted(self.on), "options": dict(self.options)}


class Faults:
    """The faults that are switched on, in the order they were.

    :param dice: decides where a fault has only a chance.
    """

    def __init__(self, dice: random.Random | None = None) -> None:
        self._dice = dice or random.Random()
        self._faults: list[Fault] = []

    def inject(
        self, name: str, on: str, times: int | None, after: int, options: Mapping[str, Any], chance: float = 1.0
    ) -> Fault:
        """Switch a fault on.

        :param name: its kind.
        :param on: an endpoint, or `any` for all that it can strike at.
        :param times: how often; None until reset.
        :param after: how many matching requests to let pass first.
        :param options: see `KINDS`.
        :param chance: more than 0, at most 1. Of several faults, each gets the requests that those before it spare.
        :raises UnknownFaultError: there is no such fault, it cannot strike there or so often, or has no such option.
        """
        kind = KINDS.get(name)
        if kind is None:
            raise UnknownFaultError(f"no fault {name!r}; there are {', '.join(sorted(KINDS))}")
        where = kind.where if on == "any" else kind.where & {on}
        if not where:
            raise UnknownFaultError(f"{name} cannot strike at {on!r}, only at {', '.join(sorted(kind.where))}")
        if unknown := set(options) - set(kind.options):
            raise UnknownFaultError(f"{name} has no option {', '.join(sorted(unknown))}")
        if not 0 < chance <= 1:
            raise UnknownFaultError(f"{name} cannot have the chance {chance!r}: more than 0 and at most 1 is wanted")
        fault = Fault(name, where, times, after, {**kind.options, **options}, chance)
        self._faults.append(fault)
        return fault

    def take(self, endpoint: str, stage: str) -> Fault | None:
        """Return the fault whose turn it is, and count it; None if all goes well.

        :param endpoint: where.
        :param stage: when; see `Kind`.
        """
        for fault in self._faults:
            if endpoint not in fault.on or KINDS[fault.name].stage != stage or fault.times == fault.struck:
                continue
            if self._is_due(fault):
                fault.struck += 1
                return fault
        return None

    def _is_due(self, fault: Fault) -> bool:
        if fault.after > 0:
            fault.after -= 1
            return False
        return fault.chance == 1 or self._dice.random() < fault.chance

    def describe(self) -> list[dict[str, Any]]:
        """Return all faults as JSON values, spent ones too."""
        return [fault.describe() for fault in self._faults]
