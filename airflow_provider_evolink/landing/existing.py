# SPDX-License-Identifier: Apache-2.0
"""Decide what happens if a file already has the name of a result. Pure."""

from __future__ import annotations

from enum import StrEnum

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.landing.filenames import Result


class OnExisting(StrEnum):
    """What to do with an existing file that this task has not written."""

    FAIL = "fail"
    """Leave it alone, and fail."""
    REPLACE = "replace"
    """Replace it with the result."""
    SKIP = "skip"
    """Leave it alone, and don't land the result."""


def parse_on_existing(value: object) -> OnExisting:
    """Parse the parameter ``on_existing``.

    :raises LandingInputError: there is no such choice.
    """
    try:
        return OnExisting(value)  # type: ignore[arg-type]
    except ValueError:
        *others, last = (repr(choice.value) for choice in OnExisting)
        raise LandingInputError("on_existing", value, f"{', '.join(others)} or {last}") from None


def conflict_message(result: Result, uri: str, owner: str | None, pattern: str) -> str:
    """Describe a conflict with an existing file, and the ways out.

    :param owner: the generation the existing file is a result of, if known.
    """
    if owner == result.generation_id:
        existing = f"another file of generation {owner}, which this task has not written or which was changed since"
    elif owner:
        existing = f"a file of generation {owner}"
    else:
        existing = "a file that this task has not written, or that was changed since"
    ways = "set on_existing='replace' to replace it, or on_existing='skip' to do without the result"
    if "{generation_id}" not in pattern:
        ways = f"put {{generation_id}} into filename_pattern ({pattern!r}) to give every result its own name, {ways}"
    return (
        f"{uri}, the destination of the result of generation {result.generation_id}, is taken by {existing}; it was "
        f"left alone. A retry finds the same. To fix it without paying again, move that file, {ways}; then clear this "
        "task."
    )
