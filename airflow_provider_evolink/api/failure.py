# SPDX-License-Identifier: Apache-2.0
"""
Why a generation failed, in whatever shape EvoLink says it.

Documented is ``error: {code, message}``. Seen, too, are a bare text, a list, and a message beside ``error: null``.
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
_SNAKE = re.compile(r"[a-z]+(?:_[a-z]+)+")


@dataclass(frozen=True, slots=True)
class Reason:
    """A code and a message, either of which may be missing; each one line, fit for a log."""

    code: str | None = None
    message: str | None = None


def failure_reason(body: Mapping[str, Any], *, has_failed: bool) -> Reason:
    """
    Find out why a generation failed.

    :param answer: the body of a task answer.
    :param has_failed: whether it did; else only what stands in ``error`` is read.
    :return: EvoLink's code, or a documented one that the message names; and all messages.
    """
    reason = _reason_in(body.get("error"))
    if reason != Reason() or not has_failed:
        return reason
    beside = {name: body[name] for name in _MESSAGE_KEYS if name in body}
    code = next((body[name] for name in _CODE_KEYS if body.get(name) in ERROR_CODES), None)
    reason = _reason_in({**beside, "code": code})
    return _as_it_stands(body.get("error")) if reason == Reason() else reason


def _as_it_stands(error: object) -> Reason:
    """Show what is said in a shape that nobody knows, rather than nothing."""
    try:
        text = json.dumps(error, ensure_ascii=False) if error else ""
    except RecursionError:
        text = "something nested too deep to be read"
    return Reason(_code_in(text), sanitize(text, "") or None)


def _reason_in(value: object) -> Reason:
    found = list(_parts(value))
    messages = list(dict.fromkeys(part.message for part in found if part.message))
    codes = [part.code for part in found if part.code] or list(filter(None, map(_code_in, messages)))
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
        yield from next(filter(_says_something, readings), ())


def _parts_of_text(text: str, depth: int) -> Iterator[Reason]:
    inner = _json_object(text)
    if inner is not None:
        yield from _parts(inner, depth + 1)
    elif line := sanitize(text, ""):
        yield Reason(message=line)


def _says_something(parts: list[Reason]) -> bool:
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
    named = [word for word in _SNAKE.findall(text) if word in ERROR_CODES]
    beginning = "_".join(re.findall("[a-z]+", text)) + "_"
    spelled = [code for code in sorted(ERROR_CODES) if beginning.startswith(f"{code}_")]
    return next(iter([*named, *spelled]), None)
