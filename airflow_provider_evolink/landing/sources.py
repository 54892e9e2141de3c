# SPDX-License-Identifier: Apache-2.0
"""Reads what a landing is asked for: records, ids, or lists of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_evolink.api.catalog import makes_files
from airflow_provider_evolink.api.errors import (
    InvalidResponseError,
    LandingError,
    LandingInputError,
    PermanentGenerationFailedError,
)
from airflow_provider_evolink.api.generation import COMPLETED, TERMINAL_STATUSES, is_generation_id, parse_generation
from airflow_provider_evolink.landing.filenames import Result

_ALLOWED = (
    "the record that EvoLinkGenerateOperator returns, a list of such records, or a generation's id is wanted. A "
    "template that pulls a whole record needs render_template_as_native_obj=True; task.output needs nothing"
)


# What an XCom that is not there is, and what a template makes of it.
_NOTHING = (None, "None")
_NO_UPSTREAM = (
    "the task upstream has returned nothing: it failed or was skipped, or what it returned was cleared. There is "
    "nothing to land; its own log says what became of the generation. A retry finds the same until it has succeeded"
)


def generations_in(generation: object) -> dict[str, Mapping[str, Any] | None]:
    """
    Sort out what was given, in its order, each generation once.

    :param generation: a record, an id, or a sequence of them.
    :return: by id: the record, or ``None`` where only the id was given.
    :raises LandingInputError: it is none of these.
    """
    return dict(_one_by_one(generation, is_inside=False))


def results_of(record: Mapping[str, Any]) -> list[Result] | None:
    """
    List the files of a record.

    :return: empty for a generation that lists none; ``None`` if the record is of a
        generation that was not finished when it was made, so that EvoLink has to be asked.
    :raises PermanentGenerationFailedError: it is finished, and failed.
    """
    generation_id = record["generation_id"]
    try:
        seen = parse_generation({**record, "id": generation_id})
    except InvalidResponseError:
        return None
    if not seen.is_terminal:
        return None
    if seen.status != COMPLETED:
        raise PermanentGenerationFailedError(
            f"Generation {generation_id} has ended as {seen.status}: there is nothing to land, and a retry finds "
            "nothing either.",
            generation_id=generation_id,
        )
    expires_at = record.get("expires_at")
    life = expires_at if isinstance(expires_at, str) else None
    files = enumerate(zip(seen.links, seen.roles, strict=True))
    return [Result(generation_id, index, link, seen.model, life, role) for index, (link, role) in files]


def expects_files(record: Mapping[str, Any]) -> bool:
    """Whether the generation's model makes files; one that is not known counts as one that does."""
    model = record.get("model")
    return makes_files(model) if isinstance(model, str) else True


def check_empty(record: Mapping[str, Any]) -> None:
    """
    Refuse a completed generation without a usable file.

    :raises LandingError: its model makes files. A retry asks EvoLink again, and generates nothing.
    """
    if expects_files(record):
        raise LandingError(
            f"Generation {record['generation_id']} is completed, {_credits(record)}, and EvoLink lists no file of it "
            "that can be fetched. Nothing is generated again. A retry asks EvoLink again, at no cost; if it stays so, "
            "ask EvoLink's support with this id.",
            generation_id=record["generation_id"],
        )


def check_finished(generation_id: str, status: str) -> None:
    """
    Refuse a generation that EvoLink has not finished.

    :raises LandingError: it goes on; a retry looks again.
    """
    if status not in TERMINAL_STATUSES:
        raise LandingError(
            f"Generation {generation_id} is still {status}: there is nothing to land yet. It goes on at EvoLink, and "
            "a retry looks again; EvoLinkGenerationSensor waits for it.",
            generation_id=generation_id,
        )


def _credits(record: Mapping[str, Any]) -> str:
    usage = record.get("usage")
    used = usage.get("credits_used") if isinstance(usage, Mapping) else None
    is_number = isinstance(used, int | float) and not isinstance(used, bool)
    return f"{used:g} credits were used" if is_number else "what it cost is not stated"


def _one_by_one(given: object, *, is_inside: bool) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if given in _NOTHING:
        raise LandingInputError("generation", given, _NO_UPSTREAM)
    if isinstance(given, str) and is_generation_id(given):
        yield given, None
    elif isinstance(given, Mapping) and is_generation_id(given.get("generation_id")):
        yield given["generation_id"], given
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes) and not is_inside:
        for item in given:
            yield from _one_by_one(item, is_inside=True)
    else:
        raise LandingInputError("generation", given, _ALLOWED)
