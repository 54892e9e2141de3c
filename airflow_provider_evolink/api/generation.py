# SPDX-License-Identifier: Apache-2.0
"""
What EvoLink answers, as types.

Every field is checked, none is relied on: unknown fields stay in ``raw``, missing ones become ``None``, and a
wrong type is treated like a missing one unless the answer is useless without it (an id, a status).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api.errors import InvalidResponseError
from airflow_provider_evolink.api.failure import failure_reason
from airflow_provider_evolink.api.result_links import collect, is_link
from airflow_provider_evolink.api.sanitize import sanitize, sentence

COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
TERMINAL_STATUSES = frozenset({COMPLETED, FAILED, CANCELLED})

# How many generations one request can read: seen in EvoLink's own clients, undocumented.
MAX_BATCH = 50
# Seconds for which EvoLink may not know a generation after it was accepted, and over which several refusals to show one
# must agree before they are believed: a gateway, a lagging replica, or an API key that is being replaced may answer
# like that for a moment.
NOT_FOUND_GRACE = 60.0
CONFIRMATION_SECONDS = 120.0
# Documented ids begin with "task-unified-"; EvoLink's own client accepts this wider form, safe inside a path.
_ID = re.compile(r"[A-Za-z0-9._:-]{4,128}")
_TIME_IN_ID = re.compile(r"task-unified-(\d{10})-")
_LATEST = 1e11


@dataclass(frozen=True, slots=True)
class Usage:
    """Credits as EvoLink states them; never converted, since some models use other units (undocumented)."""

    credits_reserved: float | None = None
    credits_used: float | None = None
    billing_rule: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """
    One generation as EvoLink last described it.

    ``status`` is one of pending, processing, completed, failed, cancelled, or a word EvoLink has not documented,
    which counts as unfinished. ``links`` are ``results`` followed by the links of files found in ``result_data``, each
    once; a completed generation may have none. ``roles`` says of each what it is: ``result``, ``cover`` or ``preview``.
    """

    id: str
    status: str
    model: str | None = None
    kind: str | None = None
    progress: int | None = None
    links: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    result_data: Any = None
    error_code: str | None = None
    error_message: str | None = None
    created: float | None = None
    duration: float | None = None
    estimated_time: float | None = None
    usage: Usage = field(default_factory=Usage)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def was_charged(self) -> bool:
        """
        Whether anything says that EvoLink took credits for it and does not give them back.

        ``usage.credits_used`` and ``usage.cost`` are documented for completed generations, ``billing`` is known from
        EvoLink's clients only.
        """
        billing = _mapping(self.raw.get("billing"))
        cost = _mapping(_mapping(self.raw.get("usage")).get("cost"))
        charged = _number(billing.get("charged_credits"))
        amounts = (self.usage.credits_used, charged, *map(_number, cost.values()))
        is_charged = _text(billing.get("charge_status")) == "charged" or any(
            amount and amount > 0 for amount in amounts
        )
        return is_charged and not _is_refunded(billing, charged)

    @property
    def is_terminal(self) -> bool:
        """Whether EvoLink will not change it any more."""
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True)
class Submission:
    """
    An accepted submission.

    ``replayed`` is true when EvoLink said that it had seen this idempotency key before and made nothing new.
    """

    generation: Generation
    replayed: bool


@dataclass(frozen=True, slots=True)
class Credits:
    """What is left: of this key (``None`` when it is unlimited) and of the whole account."""

    key_remaining: float | None
    account_remaining: float | None


def is_generation_id(value: object) -> bool:
    """Whether ``value`` can be a generation's id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and set(value) != {"."}


def submission_time(generation_id: str) -> float | None:
    """The time of submission that a documented id carries, in seconds since the epoch."""
    match = _TIME_IN_ID.match(generation_id)
    return float(match[1]) if match else None


def parse_generation(body: object, *, expected_id: str | None = None, default_status: str | None = None) -> Generation:
    """
    Read the body of a create or task answer.

    :param answer: decoded JSON.
    :param expected_id: the id that was asked for; another one is refused.
    :param default_status: taken where none is given: an id that is paid for is worth more than its status.
    :raises InvalidResponseError: no object, no usable id or status, or another generation's.
    """
    if not isinstance(body, Mapping):
        raise InvalidResponseError(f"EvoLink answered a {type(body).__name__} where a generation was due.")
    identity, status = body.get("id"), _text(body.get("status")) or default_status
    if not isinstance(identity, str) or not is_generation_id(identity):
        raise InvalidResponseError("EvoLink answered without a usable generation id.")
    if expected_id is not None and identity != expected_id:
        raise InvalidResponseError(f"EvoLink answered for {identity} when asked for {expected_id}.")
    if status is None:
        raise InvalidResponseError(f"EvoLink answered without a status for generation {identity}.")
    files = collect(body.get("results"), body.get("result_data"))
    word = _status(status)
    reason = failure_reason(body, has_failed=word in {FAILED, CANCELLED})
    return Generation(
        id=identity,
        status=word,
        model=_text(body.get("model")),
        kind=_text(body.get("type")),
        progress=_progress(body.get("progress")),
        links=tuple(file.url for file in files),
        roles=tuple(file.role for file in files),
        result_data=body.get("result_data"),
        error_code=reason.code,
        error_message=reason.message,
        created=_moment(body.get("created")),
        duration=_number(body.get("duration")),
        estimated_time=_number(_mapping(body.get("task_info")).get("estimated_time")),
        usage=_usage(_mapping(body.get("usage"))),
        raw=body,
    )


def parse_batch(body: object) -> dict[str, Generation]:
    """
    Read the body of a batch read; entries that make no sense are left out, like ids EvoLink does not know.

    :raises InvalidResponseError: the body has no ``data`` list.
    """
    entries = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(entries, list):
        raise InvalidResponseError("EvoLink answered a batch read without a list of generations.")
    found: dict[str, Generation] = {}
    for entry in entries:
        try:
            generation = parse_generation(entry)
        except InvalidResponseError:
            continue
        found[generation.id] = generation
    return found


def parse_credits(answer: object) -> Credits:
    """
    Read the body of ``GET /v1/credits``.

    :raises InvalidResponseError: the body says ``success: false`` or holds no numbers.
    """
    body = _mapping(answer)
    data = _mapping(body.get("data"))
    key, account = _mapping(data.get("token")), _mapping(data.get("user"))
    account_remaining = _number(account.get("remaining_credits"))
    if body.get("success") is False or account_remaining is None:
        raise InvalidResponseError("EvoLink answered the question for credits without figures.")
    unlimited = key.get("unlimited_credits") is True
    return Credits(None if unlimited else _number(key.get("remaining_credits")), account_remaining)


def parse_upload(answer: object) -> str:
    """
    Read the body of an upload and return the file's public URL.

    :raises InvalidResponseError: the upload did not succeed or has no URL.
    """
    body = _mapping(answer)
    url = _mapping(body.get("data")).get("file_url")
    if body.get("success") is False or not isinstance(url, str) or not is_link(url):
        reason = _text(body.get("msg")) or "no reason given"
        raise InvalidResponseError(sentence(f"EvoLink did not take the upload: {reason}"))
    return url


def _is_refunded(billing: Mapping[str, Any], charged: float | None) -> bool:
    refunded = _number(billing.get("refunded_credits"))
    is_whole = charged is None or refunded is None or refunded >= charged
    return _text(billing.get("refund_status")) in {"pending", "completed"} and is_whole


def _status(status: str) -> str:
    word = (_text(status) or "unknown").lower()
    return CANCELLED if word == "canceled" else word


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    """One line fit for a log; these texts reach errors, Airflow's rows and XCom."""
    return sanitize(value, "") or None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < 1e15 else None


def _moment(value: object) -> float | None:
    """Seconds since the epoch, also where milliseconds came."""
    number = _number(value)
    if number is None or number <= 0:
        return None
    return number / 1000 if number > _LATEST else number


def _progress(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(min(max(number, 0), 100))


def _usage(usage: Mapping[str, Any]) -> Usage:
    return Usage(
        credits_reserved=_number(usage.get("credits_reserved")),
        credits_used=_number(usage.get("credits_used")),
        billing_rule=_text(usage.get("billing_rule")),
    )
