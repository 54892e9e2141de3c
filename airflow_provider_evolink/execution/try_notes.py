# SPDX-License-Identifier: Apache-2.0
"""What a try of a task leaves in XComs for the tabs in Airflow's UI: how far it is, and why it has failed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypedDict

from airflow_provider_evolink.api.error_facts import ErrorAttributes

# XCom keys.
ERROR_KEY: Final = "evolink_error"
PROGRESS_KEY: Final = "evolink_progress"
_MAX_TEXT = 1000
_PACKAGE = __name__.partition(".")[0]


class TryNote(TypedDict):
    """What a try has left.

    :ivar try_number: of the try, from 1: what an earlier one has left says nothing about a later one.
    :ivar text: at most 1,000 characters.
    """

    try_number: int
    text: str


def failure_note(
    error: BaseException, task: object, try_number: int, *, redact: Callable[[str], str]
) -> TryNote | None:
    """Return the note about a try that has failed.

    :param error: that ended it.
    :param task: the operator. Whatever has ended one of this package is noted; of others, only errors of this package.
    :param redact: replaces what Airflow masks in logs.
    :return: ``None`` if the failure has nothing to do with this package.
    """
    if isinstance(error, ErrorAttributes):
        text = str(error)
    elif is_of_this_package(task):
        text = f"{type(error).__name__}: {error}"
    else:
        return None
    return try_note(redact(text), try_number)


def try_note(text: str, try_number: int) -> TryNote:
    """Return a note, whose text is shortened if need be."""
    shortened = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3].rstrip()}..."
    return {"try_number": try_number, "text": shortened}


def text_of(note: object, try_number: int | None) -> Any:
    """Return the text of a note, which anybody may have written.

    :param try_number: of the task instance.
    :return: ``None`` if it is no note, or one about another try.
    """
    known = note if isinstance(note, Mapping) else {}
    return known.get("text") if known.get("try_number") == try_number else None


def is_of_this_package(task: object) -> bool:
    """Return whether an operator, or a class that it derives from, is one of this package."""
    return any(cls.__module__.partition(".")[0] == _PACKAGE for cls in type(task).__mro__)
