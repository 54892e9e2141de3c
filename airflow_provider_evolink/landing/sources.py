# SPDX-License-Identifier: Apache-2.0
"""Read what a transfer was given: records, generation ids, or lists of them. Pure."""

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
from airflow_provider_evolink.api.generation import (
    COMPLETED,
    TERMINAL_STATUSES,
    Generation,
    is_generation_id,
    may_be_generation_id,
    parse_generation,
)
from airflow_provider_evolink.landing.filenames import Result

_FORMS = "the record that EvoLinkGenerateOperator returns, a list of such records, or a generation id"
_ALLOWED = (
    f"{_FORMS}. A template that pulls a whole record needs render_template_as_native_obj=True; task.output needs "
    "nothing"
)
# A missing XCom, and what a template renders it to.
_NOTHING = (None, "None")
_NO_UPSTREAM = (
    f"{_FORMS}, but the upstream task returned nothing: it failed or was skipped, or its XCom was cleared. There "
    "is nothing to land; the upstream task's log says what became of the generation. A retry fails the same way until "
    "the upstream task has succeeded"
)
# What the XCom backend for object storage returns if the object of a value is not there.
_VALUE_IS_GONE = (
    f"{_FORMS}. This is an address: if Airflow's XCom backend keeps the upstream task's record there, this worker does "
    "not find it, since it was deleted or is on another worker's disk. Clear the upstream task: unless "
    "on_clear='resubmit', it returns the record again and pays nothing"
)


def generations_in(generation: object) -> dict[str, Mapping[str, Any] | None]:
    """List the generations that were given, in order, each once.

    :param generation: a record, a generation id, or a sequence of them.
    :return: the record by generation id; ``None`` where only the id was given.
    :raises LandingInputError: it is none of these.
    """
    return dict(_flatten(generation, is_nested=False))


def results_of(record: Mapping[str, Any]) -> list[Result] | None:
    """List the results in a record.

    :return: empty if the generation lists none; ``None`` if the record was made before the generation was finished,
        so that EvoLink has to be asked.
    :raises PermanentGenerationFailedError: the generation is finished, and failed.
    """
    generation_id = record["generation_id"]
    try:
        generation = parse_generation({**record, "id": generation_id})
    except InvalidResponseError:
        return None
    if not generation.is_terminal:
        return None
    if generation.status != COMPLETED:
        raise PermanentGenerationFailedError(
            f"Generation {generation_id} has ended as {generation.status}: there is nothing to land, and a retry finds "
            "nothing either.",
            generation_id=generation_id,
        )
    expires_at = record.get("expires_at")
    return results_in(generation, expires_at if isinstance(expires_at, str) else None)


def results_in(generation: Generation, expires_at: str | None = None) -> list[Result]:
    """List the results of a generation.

    :param expires_at: when their links expire, ISO 8601 in UTC, if known.
    """
    links = enumerate(zip(generation.links, generation.roles, strict=True))
    return [Result(generation.id, index, link, generation.model, expires_at, role) for index, (link, role) in links]


def expects_files(record: Mapping[str, Any]) -> bool:
    """Return whether the generation's model makes files; an unknown model counts as one that does."""
    model = record.get("model")
    return makes_files(model) if isinstance(model, str) else True


def check_empty(record: Mapping[str, Any]) -> None:
    """Refuse a completed generation that lists no usable file, if its model makes files.

    :raises LandingError: the file is missing. A retry asks EvoLink again, and generates nothing.
    """
    if expects_files(record):
        raise LandingError(
            f"Generation {record['generation_id']} is completed ({_credits(record)}), but EvoLink lists no file of it "
            "that can be downloaded. Nothing is generated again. A retry asks EvoLink again, at no cost; if the file "
            "stays missing, contact EvoLink's support with this generation id.",
            generation_id=record["generation_id"],
        )


def check_finished(generation_id: str, status: str) -> None:
    """Refuse a generation that EvoLink has not finished.

    :raises LandingError: it is still running at EvoLink; a retry checks again.
    """
    if status not in TERMINAL_STATUSES:
        raise LandingError(
            f"Generation {generation_id} is still {status}: there is nothing to land yet. It continues at EvoLink, and "
            "a retry checks again, at no cost; use EvoLinkGenerationSensor to wait for it.",
            generation_id=generation_id,
        )


def _credits(record: Mapping[str, Any]) -> str:
    usage = record.get("usage")
    used = usage.get("credits_used") if isinstance(usage, Mapping) else None
    is_number = isinstance(used, int | float) and not isinstance(used, bool)
    return f"{used:g} credits were used" if is_number else "its price was not reported"


def _flatten(given: object, *, is_nested: bool) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if given in _NOTHING:
        raise LandingInputError("generation", given, _NO_UPSTREAM)
    if isinstance(given, str) and may_be_generation_id(given):
        yield given, None
    elif isinstance(given, Mapping) and is_generation_id(given.get("generation_id")):
        yield given["generation_id"], given
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes) and not is_nested:
        for item in given:
            yield from _flatten(item, is_nested=True)
    else:
        is_address = isinstance(given, str) and "://" in given
        raise LandingInputError("generation", given, _VALUE_IS_GONE if is_address else _ALLOWED)
