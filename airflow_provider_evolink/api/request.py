# SPDX-License-Identifier: Apache-2.0
"""A submission before it is sent: checked, and in the very bytes that will leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api import catalog, coercion, validation


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request that EvoLink should accept.

    :param body: JSON as it is sent; the same bytes at every sending.
    :param warnings: what could not be checked, each once.
    """

    model: str
    endpoint: str
    body: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()


def prepare(
    model: str, parameters: Mapping[str, Any], *, media_type: str | None = None, allow_loopback: bool = False
) -> Request:
    """
    Check a model's parameters and put them into the form that is sent.

    :param parameters: everything but ``model``; what is ``None`` is left out. Sequences become lists, and text that
        a template made of a number becomes one again (see :mod:`coercion`).
    :param media_type: ``video``, ``image`` or ``audio``, for a model that this package does not know.
    :param allow_loopback: let links to this machine pass, as an API on this machine can follow them.
    :raises InvalidInputError: a value is out of range; nothing was sent.
    """
    given = {name: coercion.plain(value, name) for name, value in parameters.items() if value is not None}
    given = _fitted(model, given)
    warnings = validation.check(model, given, allow_loopback=allow_loopback)
    endpoint = catalog.endpoint_for(model, media_type)
    return Request(model, endpoint, validation.encode_body({"model": model, **given}), tuple(warnings))


def _fitted(model: Any, given: dict[str, Any]) -> dict[str, Any]:
    known = catalog.find(model) if isinstance(model, str) else None
    return coercion.fit(given, {"type": "object", **known.schema}) if known else given
