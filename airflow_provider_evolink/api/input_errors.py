# SPDX-License-Identifier: Apache-2.0
"""The errors of invalid values, which all name the value and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from airflow_provider_evolink.api.base_error import EvoLinkError
from airflow_provider_evolink.api.wording import are, counted, shorten

NOTHING_LANDED = "This attempt downloaded nothing and cost nothing."


class InvalidInputError(EvoLinkError):
    """A value that EvoLink would reject. Nothing was sent, nothing was charged; a retry fails until it is fixed.

    The message reads "`parameter`=value is invalid: must be {allowed}. This attempt sent nothing and cost nothing."
    It says no more than that, since an instance of a mapped task is constructed, and may be refused, without its
    ledger. Its first sentence alone is ``refusal``, for a task that has already sent something. Where it ends a task,
    ``advice`` adds that Airflow does not retry it.

    :param parameter: name of the parameter; dotted if it is nested.
    :param value: the value given; shortened in the message.
    :param allowed: what is allowed, worded to complete "must be ...": values, range and unit.
    """

    permanent = True
    charged: bool | None = False
    consequence: ClassVar[str] = "This attempt sent nothing and cost nothing."

    def __init__(self, parameter: str, value: object, allowed: str) -> None:
        self.parameter = parameter
        self.value = value
        self.allowed = allowed
        self.refusal = f"`{parameter}`={shorten(value)} is invalid: must be {allowed}."
        super().__init__(f"{self.refusal} {self.consequence}")


class UnreadableInputError(InvalidInputError):
    """An input file that is missing or can't be read. Nothing was sent; a retry fails until the file is there."""


class LandingInputError(InvalidInputError):
    """A value that makes landing impossible. The generation stays paid for; a retry fails until the value is fixed."""

    charged = None
    consequence = NOTHING_LANDED


class InvalidRowsError(EvoLinkError):
    """Rows of a batch that EvoLink would reject. Nothing was sent; a retry finds the same until they are fixed.

    :param total: number of rows.
    :param invalid: number of those that are invalid.
    :param first: what is wrong with the first of them, a line for each.
    :ivar refusal: the first sentence, for a task that has already sent something; ``listed`` are the lines after it.
    """

    permanent = True
    charged = False

    def __init__(self, total: int, invalid: int, first: Sequence[str]) -> None:
        others = invalid - len(first)
        self.refusal = f"{invalid:,} of {counted(total, 'row')} {are(invalid)} invalid."
        more = [f"and {counted(others, 'other')}."] if others else []
        self.listed = [*first, *more]
        consequence = (
            "Nothing was sent, nothing was charged. A retry finds the same: fix them, or set on_invalid='skip' to "
            "generate the others."
        )
        super().__init__("\n".join([f"{self.refusal} {consequence}", *self.listed]))
        self.total = total
        self.invalid = invalid
