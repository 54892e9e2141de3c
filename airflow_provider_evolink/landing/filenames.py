# SPDX-License-Identifier: Apache-2.0
"""
What a landed file is called: a pattern of the user's, filled with what we know, never with a server's words.

Pure. The names are relative to the destination and can't leave it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.landing.media_types import MediaType

DEFAULT_PATTERN = "{generation_id}/{index}.{ext}"
FIELDS = ("generation_id", "index", "ext", "model", "kind", "role")

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NUMBER_FORMAT = re.compile(r"(0?[1-9]?[0-9]d?)?")
# The limits of local file systems and of S3.
_MAX_PART_BYTES, _MAX_BYTES = 255, 1024
_STAND_IN = MediaType("ext", "kind/any")
# As long as a kind can make a name.
_LONGEST = MediaType("extension", "application/any")


@dataclass(frozen=True, slots=True)
class Result:
    """
    One file that a generation has made.

    :param generation_id: whose it is.
    :param index: its place among the generation's results, from 0.
    :param link: where it is now.
    :param model: who made it, if known.
    :param expires_at: when the link dies, ISO 8601 in UTC, if known.
    :param role: ``result``, ``cover`` (of a song or a video) or ``preview``.
    """

    generation_id: str
    index: int
    link: str
    model: str | None = None
    expires_at: str | None = None
    role: str = "result"

    def __str__(self) -> str:
        """Name it for a message."""
        return f"result {self.index} of generation {self.generation_id}"


def render(pattern: str, result: Result, kind: MediaType) -> str:
    """
    Name a file.

    :param pattern: may hold ``{generation_id}``, ``{index}`` (also ``{index:03d}``), ``{ext}``, ``{model}``,
        ``{kind}`` (``video``, ``audio``, ``image``) and ``{role}`` (``result``, ``cover``, ``preview``), and ``/`` for
        folders.
    :return: a relative path.
    :raises LandingInputError: an unknown field, or a name that leaves the destination or is too long.
    """
    values: dict[str, str | int] = {
        "generation_id": _plain(result.generation_id),
        "index": result.index,
        "ext": kind.extension,
        "model": _plain(result.model or "unknown"),
        "kind": kind.family,
        "role": result.role,
    }
    name = "".join(_parts(pattern, values))
    problem = _problem(name)
    if problem:
        raise LandingInputError("filename_pattern", pattern, f"{problem} (it makes {name[:80]!r})")
    return name


def check(pattern: str, results: Iterable[Result]) -> list[str]:
    """
    Refuse a pattern under which two results would get the same name, before anything is fetched.

    :return: the names as they are at their longest.
    :raises LandingInputError: such a pattern, or one that :func:`render` refuses.
    """
    results = list(results)
    names = Counter(render(pattern, result, _STAND_IN) for result in results)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        allowed = f"several results would be called {twice[0]!r}: put {{generation_id}} and {{index}} into it"
        raise LandingInputError("filename_pattern", pattern, allowed)
    return [render(pattern, result, _LONGEST) for result in results]


def _parts(pattern: str, values: dict[str, str | int]) -> Iterable[str]:
    try:
        pieces = list(Formatter().parse(pattern))
    except (ValueError, TypeError) as error:
        raise LandingInputError("filename_pattern", pattern, f"a format string ({error})") from None
    for text, field, spec, conversion in pieces:
        yield text
        if field is None:
            continue
        is_plain = not conversion and (not spec or (field == "index" and _NUMBER_FORMAT.fullmatch(spec)))
        if field not in values or not is_plain:
            allowed = "the fields are " + ", ".join(f"{{{name}}}" for name in FIELDS)
            raise LandingInputError("filename_pattern", pattern, allowed)
        yield format(values[field], spec or "")


def _plain(value: str) -> str:
    """Outside words as part of a name: no separators, no dots to climb with, nothing special."""
    return _UNSAFE.sub("-", value).strip(".-") or "unknown"


def _problem(name: str) -> str | None:
    parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        return "a relative name below the destination, without '.', '..' and empty parts"
    if "\\" in name or not name.isprintable():
        return "a name without backslashes and control characters"
    if len(name.encode()) > _MAX_BYTES or any(len(part.encode()) > _MAX_PART_BYTES for part in parts):
        return f"a name of at most {_MAX_BYTES} bytes, {_MAX_PART_BYTES} between slashes"
    return None
