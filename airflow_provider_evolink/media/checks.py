# SPDX-License-Identifier: Apache-2.0
"""Refuse a media file that its model is documented not to take, before it is uploaded. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.files import MAX_UPLOAD_BYTES
from airflow_provider_evolink.api.media import conversion_advice
from airflow_provider_evolink.api.media_rules import Limits, MediaRule
from airflow_provider_evolink.api.wording import megabytes
from airflow_provider_evolink.media.facts import MediaFacts

_MB = 1024 * 1024
# What the Files API documents, for models that document no formats of their own.
_UPLOADED_IMAGES = ("png", "jpeg", "webp", "gif")
# Headers round: a clip of 10 s may state 10.03.
_SECONDS_OF_GRACE = 0.1


def check_kind(facts: MediaFacts, rule: MediaRule, parameter: str, source: str) -> None:
    """Refuse a file of another kind or format than its model takes, or too large a one.

    :param facts: about the file, from its header.
    :param parameter: that takes it, for the error.
    :param source: the file, for the error.
    :raises InvalidInputError: names the parameter and what is allowed.
    """
    formats = rule.formats or (_UPLOADED_IMAGES if rule.kind == "image" else ())
    is_raw = facts.kind is None and "pcm" in formats and source.lower().endswith(".pcm")
    if not is_raw and (facts.kind != rule.kind or (formats and facts.format not in formats)):
        advice = conversion_advice(facts.description)
        raise InvalidInputError(parameter, source, f"{rule.noun}, but this is {facts.description}{advice}")
    limit = min(rule.max_mb * _MB if rule.max_mb else MAX_UPLOAD_BYTES, MAX_UPLOAD_BYTES)
    if facts.size > limit:
        at_most = f"at most {megabytes(int(limit))}"
        hint = "" if limit < MAX_UPLOAD_BYTES else " to be uploaded; pass a larger one as a link"
        raise InvalidInputError(
            parameter, source, f"{rule.noun} of {at_most}{hint}, but this one has {megabytes(facts.size)}"
        )


def check_measures(facts: MediaFacts, rule: MediaRule, parameter: str, source: str) -> None:
    """Refuse a file whose dimensions or duration its model is documented not to take.

    :raises InvalidInputError: names the parameter and what is allowed. What the header does not state passes.
    """
    for allowed in _breaches(facts, rule):
        raise InvalidInputError(parameter, source, f"{rule.noun} {allowed}")


def check_total(seconds: list[float], rule: MediaRule, parameter: str) -> None:
    """Refuse files that together last longer than their model takes.

    :param seconds: what is known about the files of one parameter.
    :raises InvalidInputError: names the parameter and what is allowed.
    """
    total, limit = sum(seconds), rule.total_seconds
    if limit is not None and total > limit + _SECONDS_OF_GRACE:
        allowed = f"a list whose files last at most {limit:g} s together, but these last {total:.1f} s"
        raise InvalidInputError(parameter, type(seconds), allowed)


def _breaches(facts: MediaFacts, rule: MediaRule) -> Iterator[str]:
    if facts.width is not None and facts.height is not None:
        yield from _breached_dimensions(facts.width, facts.height, rule)
    seconds = facts.seconds
    low, high = rule.seconds or (None, None)
    if seconds is not None and not _within(seconds, (low, high and high + _SECONDS_OF_GRACE), _SECONDS_OF_GRACE):
        yield f"that lasts {_range((low, high))} s, but this one lasts {seconds:.1f} s"


def _breached_dimensions(width: int, height: int, rule: MediaRule) -> Iterator[str]:
    short, long = sorted((width, height))
    is_ = f"but this one is {width}x{height}"
    if rule.side and not (_within(short, rule.side) and _within(long, rule.side)):
        yield f"with sides of {_range(rule.side)} pixels, {is_}"
    if rule.short_side and not _within(short, rule.short_side):
        yield f"whose shorter side has {_range(rule.short_side)} pixels, {is_}"
    if rule.long_side and not _within(long, rule.long_side):
        yield f"whose longer side has {_range(rule.long_side)} pixels, {is_}"
    if rule.pixels and not _within(width * height, rule.pixels):
        yield f"with {_range(rule.pixels)} pixels in total, {is_}"
    if rule.aspect:
        narrowest, widest = (Fraction(edge.replace(":", "/")) for edge in rule.aspect)
        if not narrowest <= Fraction(width, height) <= widest:
            yield f"whose width to height is {rule.aspect[0]} to {rule.aspect[1]}, {is_}"


def _within(number: float, limits: Limits, grace: float = 0) -> bool:
    low, high = limits
    return (low is None or number >= low - grace) and (high is None or number <= high)


def _range(limits: Limits) -> str:
    low, high = limits
    if low is None:
        return f"at most {high:g}" if (high or 0) < 1e6 else f"at most {high:,}"
    return f"at least {low:,}" if high is None else f"{low:,} to {high:,}"
