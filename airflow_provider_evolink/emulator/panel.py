# SPDX-License-Identifier: Apache-2.0
"""/_emulator/: the control endpoint. It has no counterpart at EvoLink."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from airflow_provider_evolink.emulator.faults import UnknownFaultError
from airflow_provider_evolink.emulator.world import World

_FAULT_TYPES = {
    "fault": str,
    "on": str,
    "times": int | None,
    "after": int,
    "chance": int | float,
    "options": dict,
}


class PanelError(ValueError):
    """The control endpoint was asked for something it cannot do."""


def inject(world: World, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Switch a fault on.

    :param world: where.
    :param wanted: `fault`, and if need be `on`, `times`, `after`, `chance`, `options`; see `Faults.inject`.
    :raises PanelError: there is no such fault.
    """
    _check_names(wanted, set(_FAULT_TYPES))
    _check_types(wanted)
    try:
        fault = world.faults.inject(
            wanted.get("fault", ""),
            on=wanted.get("on", "any"),
            times=wanted.get("times", 1),
            after=wanted.get("after", 0),
            options=wanted.get("options", {}),
            chance=wanted.get("chance", 1.0),
        )
    except UnknownFaultError as error:
        raise PanelError(str(error)) from error
    return fault.describe()


def set_clock(world: World, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Change the pace of time, or let some pass at once.

    :param world: where.
    :param wanted: `factor` (emulated seconds in one second) or `advance` (emulated seconds), or both.
    :raises PanelError: time cannot stand still or go back.
    """
    _check_names(wanted, {"factor", "advance"})
    factor, advance = float(wanted.get("factor", world.clock.factor)), float(wanted.get("advance", 0))
    if not (math.isfinite(factor + advance) and factor > 0 and advance >= 0):
        raise PanelError("factor must be greater than 0, advance must not be less, and neither infinite")
    world.clock.run_at(factor)
    world.clock.advance(advance)
    return world.describe()["clock"]  # type: ignore[no-any-return]


def configure(world: World, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Change the life of links or the limit of queries, or top the account up.

    :param world: where.
    :param wanted: `link_life` (real seconds; null for the documented one), `query_limit` (requests in an emulated
        minute; null for none) or `credits` (to add), or several of them.
    :raises PanelError: no limit is less than one request.
    """
    _check_names(wanted, {"link_life", "query_limit", "credits"})
    if "query_limit" in wanted:
        world.query_limit.per_minute = _limit(wanted["query_limit"])
    if "link_life" in wanted:
        life = wanted["link_life"]
        world.link_life = None if life is None else timedelta(seconds=float(life))
    world.account.deposit(float(wanted.get("credits", 0)))
    return world.describe()["credits"]  # type: ignore[no-any-return]


def _limit(wanted: object) -> int | None:
    if wanted is None:
        return None
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise PanelError(f"query_limit must be a whole number of at least 1, or null: {wanted!r}")
    return wanted


def is_local(request: Request) -> bool:
    """Tell whether a request comes from this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _check_names(wanted: Mapping[str, Any], known: set[str]) -> None:
    if not isinstance(wanted, dict) or set(wanted) - known:
        raise PanelError(f"a JSON object with {', '.join(sorted(known))} is wanted")


def _check_types(wanted: Mapping[str, Any]) -> None:
    for name, types in _FAULT_TYPES.items():
        if name in wanted and not isinstance(wanted[name], types):
            raise PanelError(f"{name} of the wrong type: {wanted[name]!r}")
