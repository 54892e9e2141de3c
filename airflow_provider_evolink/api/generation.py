# SPDX-License-Identifier: Apache-2.0
"""EvoLink's response bodies as types.

No field is trusted: unknown fields stay in ``raw``, missing ones become ``None``, and a wrong type counts as missing,
unless the response is useless without the field (an id, a status).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api.errors import InvalidResponseError
from airflow_provider_evolink.api.failure import failure_reason
from airflow_provider_evolink.api.result_links import find_links
from airflow_provider_evolink.api.sanitize import sanitize

COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
TERMINAL_STATUSES = frozenset({COMPLETED, FAILED, CANCELLED})

# An id in the documented form, for error messages.
EXAMPLE_ID = "task-unified-1757169743-7cvnl5zw"
# How many generations one request can read; undocumented, known from EvoLink's own clients.
MAX_BATCH = 50
# Seconds after a submission during which EvoLink may not know its generation yet: a replica may lag behind.
NOT_FOUND_GRACE = 60.0
# Seconds over which several refusals to show a generation must agree before they count: a gateway, a lagging replica,
# or an API key that is being replaced may refuse for a moment.
CONFIRMATION_SECONDS = 120.0
# Documented ids start with "task-unified-"; EvoLink's own client accepts this wider form, which is safe in a path.
_ID = re.compile(r"[A-Za-z0-9._:-]{4,128}")
_TIME_IN_ID = re.compile(r"task-unified-(\d{10})-")
# Timestamps above this are in milliseconds.
_MAX_SECONDS = 1e11


@dataclass(frozen=True, slots=True)
class Usage:
    """Credits as EvoLink reports them, never converted: some models use other units (undocumented)."""

    credits_reserved: float | None = None
    credits_used: float | None = None
    billing_rule: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation as EvoLink last described it.

    :param status: ``pending``, ``processing``, ``completed``, ``failed``, ``cancelled``, or an undocumented one, which
        counts as unfinished.
    :param kind: EvoLink's ``type``, such as ``video``.
    :param progress: percent, 0 to 100.
    :param links: those in ``results``, then those of files found in ``result_data``, each once; a completed generation
        may have none.
    :param roles: the role of each link: ``result``, ``cover`` or ``preview``.
    :param created: seconds since the epoch.
    :param duration: seconds that it took, if EvoLink reports them.
    :param estimated_time: EvoLink's estimate in seconds.
    :param raw: the whole response.
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
        """Whether any field indicates that EvoLink charged credits for it without refunding them.

        ``usage.credits_used`` and ``usage.cost`` are documented for completed generations; ``billing`` is known from
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
    def credits_charged(self) -> float | None:
        """The credits that it has cost, as far as EvoLink says so; see :attr:`was_charged` for the fields.

        Where ``usage`` has no amount, as for a generation that failed, it is what ``billing`` says was not refunded.
        """
        if self.usage.credits_used or not self.was_charged:
            return self.usage.credits_used
        billing = _mapping(self.raw.get("billing"))
        charged, refunded = (_number(billing.get(name)) or 0.0 for name in ("charged_credits", "refunded_credits"))
        return max(charged - max(refunded, 0.0), 0.0) or self.usage.credits_used

    @property
    def is_terminal(self) -> bool:
        """Whether EvoLink will no longer change it."""
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted submission.

    :param replayed: whether EvoLink recognized the idempotency key and created nothing new.
    """

    generation: Generation
    replayed: bool


@dataclass(frozen=True, slots=True)
class Credits:
    """The remaining credits of this API key (``None`` if it is unlimited) and of the whole account."""

    key_remaining: float | None
    account_remaining: float | None

    @property
    def remaining(self) -> float:
        """The credits that a submission may use: of the API key or of the account, whichever has fewer."""
        limits = (self.account_remaining, self.key_remaining)
        return min((limit for limit in limits if limit is not None), default=float("inf"))


def is_generation_id(value: object) -> bool:
    """Return whether a value has the form of a generation id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and set(value) != {"."}


def may_be_generation_id(value: object) -> bool:
    """Return whether a value that a person gives may be a generation id: every id so far has digits, no word does."""
    return is_generation_id(value) and any(map(str.isdigit, str(value)))


def submission_time(generation_id: str) -> float | None:
    """Return the time of submission that a documented id contains, in seconds since the epoch; None for other ids."""
    match = _TIME_IN_ID.match(generation_id)
    return float(match[1]) if match else None


def parse_generation(body: object, *, expected_id: str | None = None, default_status: str | None = None) -> Generation:
    """Parse the body of a create or task response.

    :param body: decoded JSON.
    :param expected_id: the requested id; another one is rejected.
    :param default_status: used if there is none: the id of a paid generation must not be lost for lack of a status.
    :raises InvalidResponseError: it is no object, has no usable id or status, or belongs to another generation.
    """
    if not isinstance(body, Mapping):
        raise InvalidResponseError(f"EvoLink's response is a {type(body).__name__}, not a generation.")
    generation_id = _id_in(body, expected_id)
    status = _text(body.get("status")) or default_status
    if status is None:
        raise InvalidResponseError(f"EvoLink's response has no status for generation {generation_id}.")
    files = find_links(body.get("results"), body.get("result_data"))
    status = _normalized_status(status)
    reason = failure_reason(body, has_failed=status in {FAILED, CANCELLED})
    return Generation(
        id=generation_id,
        status=status,
        model=_text(body.get("model")),
        kind=_text(body.get("type")),
        progress=_progress(body.get("progress")),
        links=tuple(file.url for file in files),
        roles=tuple(file.role for file in files),
        result_data=body.get("result_data"),
        error_code=reason.code,
        error_message=reason.message,
        created=_timestamp(body.get("created")),
        duration=_number(body.get("duration")),
        estimated_time=_number(_mapping(body.get("task_info")).get("estimated_time")),
        usage=_usage(_mapping(body.get("usage"))),
        raw=body,
    )


def _id_in(body: Mapping[str, Any], expected_id: str | None) -> str:
    generation_id = body.get("id")
    if not isinstance(generation_id, str) or not is_generation_id(generation_id):
        raise InvalidResponseError("EvoLink's response has no usable generation id.")
    if expected_id is not None and generation_id != expected_id:
        raise InvalidResponseError(f"EvoLink returned generation {generation_id} instead of {expected_id}.")
    return generation_id


def parse_batch(body: object) -> dict[str, Generation]:
    """Parse the body of a batch response, without invalid entries; ids unknown to EvoLink have no entry either.

    :return: generations by id.
    :raises InvalidResponseError: the body has no ``data`` list.
    """
    entries = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(entries, list):
        raise InvalidResponseError("EvoLink's batch response has no list of generations.")
    generations: dict[str, Generation] = {}
    for entry in entries:
        try:
            generation = parse_generation(entry)
        except InvalidResponseError:
            continue
        generations[generation.id] = generation
    return generations


def parse_credits(body: object) -> Credits:
    """Parse the body of ``GET /v1/credits``.

    :raises InvalidResponseError: the body has ``success: false`` or no numbers.
    """
    fields = _mapping(body)
    data = _mapping(fields.get("data"))
    token, user = _mapping(data.get("token")), _mapping(data.get("user"))
    account_remaining = _number(user.get("remaining_credits"))
    if fields.get("success") is False or account_remaining is None:
        raise InvalidResponseError("EvoLink's credits response has no amounts.")
    is_unlimited = token.get("unlimited_credits") is True
    return Credits(None if is_unlimited else _number(token.get("remaining_credits")), account_remaining)


def _is_refunded(billing: Mapping[str, Any], charged: float | None) -> bool:
    refunded = _number(billing.get("refunded_credits"))
    is_full_refund = charged is None or refunded is None or refunded >= charged
    return _text(billing.get("refund_status")) in {"pending", "completed"} and is_full_refund


def _normalized_status(status: str) -> str:
    normalized = (_text(status) or "unknown").lower()
    return CANCELLED if normalized == "canceled" else normalized


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    """Return one printable line: these texts reach errors, Airflow's database and XCom."""
    return sanitize(value, "") or None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < 1e15 else None


def _timestamp(value: object) -> float | None:
    """Return seconds since the epoch; the value may be in milliseconds."""
    number = _number(value)
    if number is None or number <= 0:
        return None
    return number / 1000 if number > _MAX_SECONDS else number


def _progress(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(min(max(number, 0), 100))


def _usage(usage: Mapping[str, Any]) -> Usage:
    return Usage(
        credits_reserved=_number(usage.get("credits_reserved")),
        credits_used=_number(usage.get("credits_used")),
        billing_rule=_text(usage.get("billing_rule")),
    )
