# SPDX-License-Identifier: Apache-2.0
"""Name landed files by the user's pattern, filled with what this package knows, never with what a server sends. Pure.

The names are relative to the destination and can't lead out of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.landing.media_types import MediaType

DEFAULT_PATTERN = "{generation_id}/{index}.{ext}"
FIELDS = ("generation_id", "index", "ext", "model", "kind", "role")

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_UNSAFE_ASCII = re.compile(r"[\x00-,/:-@\[-^`{-\x7f]+")
_NUMBER_FORMAT = re.compile(r"(0?[1-9]?[0-9]d?)?")
# The limits of local file systems and of S3.
_MAX_PART_BYTES, _MAX_BYTES = 255, 1024
PLACEHOLDER = MediaType("ext", "kind/any")
# Makes a name as long as any media type can.
_LONGEST = MediaType("extension", "application/any")


@dataclass(frozen=True, slots=True)
class Result:
    """One file that a generation has made.

    :param generation_id: the generation.
    :param index: its 0-based position among the generation's results.
    :param link: URL of the file.
    :param model: the model that made it, if known.
    :param expires_at: when the link expires, ISO 8601 in UTC, if known.
    :param role: ``result``, ``cover`` (of a song or a video) or ``preview``.
    """

    generation_id: str
    index: int
    link: str
    model: str | None = None
    expires_at: str | None = None
    role: str = "result"

    def __str__(self) -> str:
        """Describe it for a message."""
        return f"result {self.index} of generation {self.generation_id}"


def render(pattern: str, result: Result, media_type: MediaType) -> str:
    """Name a file.

    :param pattern: may contain ``{generation_id}``, ``{index}`` (also ``{index:03d}``), ``{ext}``, ``{model}``,
        ``{kind}`` (``video``, ``audio``, ``image``) and ``{role}`` (``result``, ``cover``, ``preview``), and ``/`` for
        folders.
    :return: a relative path.
    :raises LandingInputError: the pattern has an unknown field, or the name leaves the destination or is too long.
    """
    name = filled(pattern, result, media_type)
    requirement = unmet_requirement(name)
    if requirement:
        raise LandingInputError("filename_pattern", pattern, f"a pattern for {requirement}, but makes {name[:80]!r}")
    return name


def filled(pattern: str, result: Result, media_type: MediaType, parameter: str = "filename_pattern") -> str:
    """Fill in a pattern's fields, whatever name that makes.

    :param parameter: the argument that the pattern is, for errors.
    :raises LandingInputError: the pattern has an unknown field, or is not a valid format string.
    """
    values: dict[str, str | int] = {
        "generation_id": _safe(result.generation_id),
        "index": result.index,
        "ext": media_type.extension,
        "model": _safe(result.model or "unknown"),
        "kind": media_type.family,
        "role": result.role,
    }
    return "".join(_parts(pattern, values, parameter))


def check_pattern(pattern: str, results: Iterable[Result]) -> list[str]:
    """Refuse a pattern that gives two results the same name, before anything is downloaded.

    :return: the longest name that each result may get.
    :raises LandingInputError: two names are the same, or :func:`render` refuses the pattern.
    """
    results = list(results)
    if duplicates := _duplicates([render(pattern, result, PLACEHOLDER) for result in results]):
        allowed = (
            "a pattern that gives every result its own name, with {generation_id} and {index} in it, but several "
            f"results would be named {duplicates[0]!r}"
        )
        raise LandingInputError("filename_pattern", pattern, allowed)
    return [render(pattern, result, _LONGEST) for result in results]


def _duplicates(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1] if len(names) > 1 else []


def _parts(pattern: str, values: dict[str, str | int], parameter: str) -> Iterable[str]:
    try:
        pieces = list(Formatter().parse(pattern))
    except (ValueError, TypeError) as error:
        raise LandingInputError(parameter, pattern, f"a valid format string ({error})") from None
    for text, field, spec, conversion in pieces:
        yield text
        if field is None:
            continue
        is_supported = not conversion and (not spec or (field == "index" and _NUMBER_FORMAT.fullmatch(spec)))
        if field not in values or not is_supported:
            allowed = "a pattern with no other fields than " + ", ".join(f"{{{name}}}" for name in FIELDS)
            raise LandingInputError(parameter, pattern, allowed)
        yield format(values[field], spec or "")


def _safe(value: str) -> str:
    return _stripped(_UNSAFE.sub("-", value)) or "unknown"


def safe_text(text: str) -> str:
    """Make text from outside safe in a name: no separators, no leading or trailing dots, no special characters.

    :return: its letters (of any script, composed), digits, ``.``, ``_`` and ``-``, with ``-`` for whatever is between
        them; empty if there is none of them.
    """
    if not text.isascii():
        text = "".join(char if _is_letter(char) else " " for char in unicodedata.normalize("NFC", text))
    return _stripped(_UNSAFE_ASCII.sub("-", text))


def _is_letter(char: str) -> bool:
    """Return whether a character belongs to a word; many scripts write vowels as marks."""
    return char.isascii() or char.isalnum() or unicodedata.category(char).startswith("M")


def _stripped(name: str) -> str:
    return name.strip(".-")


def unmet_requirement(name: str) -> str | None:
    """Return what the names below a destination must be, if this one is not; it completes "must be ..."."""
    parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        return "relative names below the destination, without '.', '..' and empty parts"
    if "\\" in name or not name.isprintable():
        return "names without backslashes and control characters"
    if len(name.encode()) > _MAX_BYTES or any(len(part.encode()) > _MAX_PART_BYTES for part in parts):
        return f"names of at most {_MAX_BYTES} bytes, {_MAX_PART_BYTES} between slashes"
    return None
