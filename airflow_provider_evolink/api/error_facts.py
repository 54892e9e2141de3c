# SPDX-License-Identifier: Apache-2.0
"""What an alert about a failure has to name, as attributes of its exception."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


class ErrorAttributes:
    """The attributes of every exception that an operator, a sensor or a transfer raises; ``None`` = unknown.

    :ivar generation_id: the generation concerned.
    :ivar model: its model, or the one that was to be submitted.
    :ivar code: EvoLink's error code, such as ``content_policy_violation``.
    :ivar detail: EvoLink's own message, or the last error of a wait that was given up.
    :ivar credits_reserved: credits that EvoLink reserved for it.
    :ivar credits_used: credits that EvoLink reports as used.
    :ivar charged: ``True`` if EvoLink has charged for it, ``False`` if nothing was charged; ``None`` if that is
        unknown, as after a lost response, or not decided yet, as for a generation that is under way.
    :ivar conn_id: Airflow connection of the task.
    :ivar request_id: the id that EvoLink's support asks for.
    """

    generation_id: str | None = None
    model: str | None = None
    code: str | None = None
    detail: str | None = None
    credits_reserved: float | None = None
    credits_used: float | None = None
    charged: bool | None = None
    conn_id: str | None = None
    request_id: str | None = None


ATTRIBUTES = tuple(ErrorAttributes.__annotations__)


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """What a task knows about its generation when it fails; see :class:`ErrorAttributes`."""

    generation_id: str | None = None
    model: str | None = None
    credits_reserved: float | None = None
    credits_used: float | None = None
    charged: bool | None = None
    conn_id: str | None = None

    def or_else(self, other: ErrorFacts) -> ErrorFacts:
        """Return these facts, with those that are unknown taken from others."""
        unknown = [field.name for field in fields(self) if getattr(self, field.name) is None]
        return replace(self, **{name: getattr(other, name) for name in unknown})
