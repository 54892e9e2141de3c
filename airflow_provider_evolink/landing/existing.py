# SPDX-License-Identifier: Apache-2.0
"""What happens where a file lies under a result's name already. Pure."""

from __future__ import annotations

from enum import StrEnum

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.landing.filenames import Result


class OnExisting(StrEnum):
    """What happens to a file that this task has not written."""

    FAIL = "fail"
    """It is left alone, and the landing fails."""
    REPLACE = "replace"
    """The result takes its place."""
    SKIP = "skip"
    """It is left alone, and the result does not land."""


def on_existing_of(value: object) -> OnExisting:
    """
    Read the parameter.

    :raises LandingInputError: there is no such choice.
    """
    try:
        return OnExisting(value)  # type: ignore[arg-type]
    except ValueError:
        choices = " or ".join(repr(choice.value) for choice in OnExisting)
        raise LandingInputError("on_existing", value, choices) from None


def conflict(result: Result, uri: str, other: str | None, pattern: str) -> str:
    """
    Say that another file lies under a result's name, and what can be done.

    :param other: the generation whose file it is, if that is known.
    """
    if other == result.generation_id:
        whose = f"another file of generation {other}, which this task has not written or which was changed since"
    elif other:
        whose = f"a file of generation {other}"
    else:
        whose = "a file that this task has not written, or that was changed since"
    ways = "on_existing='replace' puts the result in its place, on_existing='skip' does without the result"
    if "{generation_id}" not in pattern:
        ways = (
            f"put {{generation_id}} into filename_pattern ({pattern!r}) so that every result has its own name; {ways}"
        )
    return (
        f"At {uri}, where the result of generation {result.generation_id} should go, lies {whose}; it was left as it "
        f"is. A retry finds the same. Ways out, without paying again: move that file, or {ways}; then clear this task."
    )
