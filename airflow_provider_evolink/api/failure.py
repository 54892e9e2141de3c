# SPDX-License-Identifier: Apache-2.0
"""Find out why a generation failed, in whatever shape EvoLink reports it.

``error: {code, message}`` is documented. A bare text, a list, and a message next to ``error: null`` occur as
well (undocumented).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.api.error_codes import ERROR_CODES
from airflow_provider_evolink.api.sanitize import sanitize

_MESSAGE_KEYS = (
    "message", "msg", "error_message", "fail_reason", "failure_reason", "reason", "error", "errors",
    "detail", "details",
)  # fmt: skip
_CODE_KEYS = ("code", "error_code")
_MAX_DEPTH = 4
_SNAKE_CASE = re.compile(r"[a-z]+(?:_[a-z]+)+")


@dataclass(frozen=True, slots=True)
class Reason:
    """A code and a message, either of which may be missing; each is one printable line."""

    code: str | None = None
    message: str | None = None


def failure_reason(body: Mapping[str, Any], *, has_failed: bool) -> Reason:
    """Find out why a generation failed.

    :param body: the body of a task response.
    :param has_failed: whether the generation failed; if not, only ``error`` is read.
    :return: EvoLink's code, or a documented one that the message names; and all messages, joined.
    """
    error = body.get("error")
    if error is None and not has_failed:
        return Reason()
    reason = _reason_in(error)
    if reason != Reason() or not has_failed:
        return reason
    siblings = {name: body[name] for name in _MESSAGE_KEYS if name in body}
    code = next((body[name] for name in _CODE_KEYS if body.get(name) in ERROR_CODES), None)
    reason = _reason_in({**siblings, "code": code})
    return _unparsed_reason(error) if reason == Reason() else reason


def _unparsed_reason(error: object) -> Reason:
    """Show an error of an unknown shape rather than nothing."""
    try:
        text = json.dumps(error, ensure_ascii=False) if error else ""
    except RecursionError:
        text = "an error nested too deeply to be read"
    return Reason(_code_in(text), sanitize(text, "") or None)


def _reason_in(value: object) -> Reason:
    parts = list(_parts(value))
    messages = list(dict.fromkeys(part.message for part in parts if part.message))
    codes = [part.code for part in parts if part.code] or list(filter(None, map(_code_in, messages)))
    return Reason(codes[0] if codes else None, "; ".join(messages) or None)


def _parts(value: object, depth: int = 0) -> Iterator[Reason]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield from _parts_of_text(value, depth)
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item, depth + 1)
    elif isinstance(value, Mapping):
        yield Reason(code=next(filter(None, (sanitize(value.get(name), "") for name in _CODE_KEYS)), None))
        readings = (list(_parts(value[name], depth + 1)) for name in _MESSAGE_KEYS if name in value)
        yield from next(filter(_is_informative, readings), ())


def _parts_of_text(text: str, depth: int) -> Iterator[Reason]:
    inner = _json_object(text)
    if inner is not None:
        yield from _parts(inner, depth + 1)
    elif line := sanitize(text, ""):
        yield Reason(message=line)


def _is_informative(parts: list[Reason]) -> bool:
    return any(part != Reason() for part in parts)


def _json_object(text: str) -> object:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _code_in(message: str) -> str | None:
    text = message.lower()
    literal = [word for word in _SNAKE_CASE.findall(text) if word in ERROR_CODES]
    words = "_".join(re.findall("[a-z]+", text)) + "_"
    spelled_out = [code for code in sorted(ERROR_CODES) if words.startswith(f"{code}_")]
    return next(iter([*literal, *spelled_out]), None)
