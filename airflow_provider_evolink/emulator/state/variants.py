# SPDX-License-Identifier: Apache-2.0
"""Variants of EvoLink's responses: all of them occur, and the emulator's control API chooses among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

CREATED_STATUSES = ("pending", "processing", "completed")


class InvalidVariantError(ValueError):
    """There is no such variant, or its value is invalid."""


@dataclass(frozen=True)
class Variants:
    """What responses look like, beyond what the request decides.

    :param created_status: status in the response to a submission: ``pending``, ``processing``, or ``completed``, with
        results at once; None for the documented one of the model.
    :param billing: whether responses have ``billing``, the state of the charge (undocumented; from EvoLink's clients).
    :param cost: whether completed generations have ``usage.cost``, the charge in three currencies (documented).
    :param unlimited_credits: whether the API key has no limit of its own (documented).
    :param charge_factor: multiplies what later submissions are charged; from 1.1 on, they exceed their reservations.
    """

    created_status: str | None = None
    billing: bool = False
    cost: bool = False
    unlimited_credits: bool = False
    charge_factor: float = 1.0

    def change(self, changes: Any) -> Variants:
        """Return these variants with some changes.

        :param changes: a mapping of field names to new values.
        :raises InvalidVariantError: there is no such field, or its value is invalid.
        """
        if not isinstance(changes, Mapping):
            raise InvalidVariantError(f"`variants`={changes!r} is invalid: must be an object")
        for name, value in changes.items():
            if name not in _ALLOWED:
                allowed = ", ".join(sorted(_ALLOWED))
                raise InvalidVariantError(f"`variants`={name!r} is invalid: must have names among {allowed}")
            is_allowed, description = _ALLOWED[name]
            if not is_allowed(value):
                raise InvalidVariantError(f"`{name}`={value!r} is invalid: must be {description}")
        return replace(self, **changes)

    def created_status_of(self, model: str) -> str:
        """Return the status in the response to a submission.

        :param model: id of the model; those of gemini-omni 1.1 are documented to answer ``processing``.
        """
        return self.created_status or ("processing" if model.startswith("gemini-omni-1.1") else "pending")


def _is_factor(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_status(value: object) -> bool:
    return value in (None, *CREATED_STATUSES)


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


_SWITCH = (_is_switch, "true or false")
_ALLOWED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "created_status": (_is_status, f"null or one of {', '.join(CREATED_STATUSES)}"),
    "billing": _SWITCH,
    "cost": _SWITCH,
    "unlimited_credits": _SWITCH,
    "charge_factor": (_is_factor, "a number of at least 0"),
}
