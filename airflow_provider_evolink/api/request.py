# SPDX-License-Identifier: Apache-2.0
"""
A request before it is sent: checked, and encoded as the very bytes that will leave.

What EvoLink documents for a model is enforced; what it doesn't (an unknown model or parameter) passes with a
warning, since EvoLink's documents grow faster than the catalog here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api import catalog, coercion
from airflow_provider_evolink.api.addresses import check_public_url
from airflow_provider_evolink.api.constraints import check_rules
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.json_values import check_json
from airflow_provider_evolink.api.schema import check_schema, undocumented

# Documented for the models that take media in the request itself.
MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_CALLBACK_URL = 2048


@dataclass(frozen=True, slots=True)
class GenerationRequest:
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
) -> GenerationRequest:
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
    warnings = check(model, given, allow_loopback=allow_loopback)
    endpoint = catalog.endpoint_for(model, media_type)
    return GenerationRequest(model, endpoint, encode_body({"model": model, **given}), tuple(warnings))


def _fitted(model: Any, given: dict[str, Any]) -> dict[str, Any]:
    known = catalog.find(model) if isinstance(model, str) else None
    return coercion.fit(given, {"type": "object", **known.schema}) if known else given


def check(model: str, parameters: Mapping[str, Any], *, allow_loopback: bool = False) -> list[str]:
    """
    Refuse parameters that EvoLink documents as wrong. Sends nothing.

    :param model: model id.
    :param parameters: everything that is sent beside ``model``, with its final values (no templates).
    :param allow_loopback: let links to this machine pass, as an API on this machine can follow them.
    :return: a warning for a model that is not in the catalogue or is withdrawn, and for each parameter that is not
        documented or without effect.
    :raises InvalidInputError: a parameter that is missing, of a wrong type, out of its range or no JSON, or that does
        not go together with another.
    """
    if _is_blank(model):
        raise InvalidInputError("model", model, "it must be the id of a model")
    check_json({"model": model, **parameters})
    if parameters.get("model", model) != model:
        raise InvalidInputError("parameters.model", parameters["model"], f"the model is given as {model!r}")
    if "callback_url" in parameters:
        check_callback_url(parameters["callback_url"], allow_loopback=allow_loopback)
    known = catalog.find(model)
    if known is None:
        meant = catalog.closest(model)
        if meant is not None and meant.lower() == model.strip().lower():
            raise InvalidInputError("model", model, f"it must be written {meant!r}")
        question = f"Did you mean {meant!r}? " if meant else ""
        return [f"{question}The model {model!r} is not in the catalogue: its parameters are sent unchecked."]
    own = {name: value for name, value in parameters.items() if name not in ("model", "callback_url")}
    check_schema(own, known.schema, allow_loopback=allow_loopback)
    return [*_about(known), *check_rules(own, known.rules, known.schema), *_undocumented(own, known)]


def check_callback_url(url: object, *, allow_loopback: bool = False) -> None:
    """
    Refuse a callback URL that EvoLink would not call: https, public, at most 2048 characters (documented).

    :param url: judged by its text, never resolved.
    :param allow_loopback: let http and https URLs of this machine pass too.
    :raises InvalidInputError: names ``callback_url``, without its query, which may hold a secret.
    """
    check_public_url(url, parameter="callback_url", max_length=_MAX_CALLBACK_URL, allow_loopback=allow_loopback)


def encode_body(payload: Mapping[str, Any]) -> bytes:
    """
    Serialize a request: compact UTF-8 JSON, the same bytes for the same values in any order.

    :param payload: the whole request, ``model`` included, which :func:`check` has let through.
    :raises InvalidInputError: it is larger than the documented 64 MB.
    """
    body = json.dumps(payload, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInputError(
            "request",
            f"{len(body) / 2**20:.1f} MB",
            f"EvoLink takes at most {MAX_BODY_BYTES // 2**20} MB; "
            "an uploaded file or a link in place of the data itself makes it smaller",
        )
    return body


def _is_blank(value: object) -> bool:
    return not isinstance(value, str) or not value.strip()


def _about(model: catalog.Model) -> Iterator[str]:
    if model.replaced_by:
        yield f"EvoLink has withdrawn {model.name}: {model.replaced_by} takes its place."
    if model.served_as:
        yield f"EvoLink makes and bills {model.served_as} in place of {model.name}."


def _undocumented(parameters: Mapping[str, Any], model: catalog.Model) -> Iterator[str]:
    for name in undocumented(parameters, model.schema):
        close = difflib.get_close_matches(name, model.schema["properties"], n=1, cutoff=0.75)
        question = f"Did you mean {close[0]!r}? " if close else ""
        yield (f"{question}{name} is not documented for {model.name}: it is sent unchecked. See {model.documentation}")
