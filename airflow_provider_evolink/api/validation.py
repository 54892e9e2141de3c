# SPDX-License-Identifier: Apache-2.0
"""
Checks of a request before it is sent, so that a mistake costs nothing and is named.

What EvoLink documents for a model is enforced; what it doesn't (an unknown model or parameter) passes with a
warning, since EvoLink's documents grow faster than the catalogue here.
"""

from __future__ import annotations

import difflib
import json
import math
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.addresses import check_public_url
from airflow_provider_evolink.api.constraints import check_rules
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import check_schema, undocumented

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Documented for the models that take media in the request itself.
MAX_BODY_BYTES = 64 * 1024 * 1024
# How deep values may be nested, and how large an integer may be: what every JSON reader takes.
MAX_DEPTH = 32
MAX_INTEGER_BITS = 64
_MAX_CALLBACK_URL = 2048


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
    _check_json(parameters)
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
    Serialise a request: compact UTF-8 JSON, the same bytes for the same values in any order.

    :param payload: the whole request, ``model`` included.
    :raises InvalidInputError: a value that is no JSON, or more than the documented 64 MB.
    """
    _check_json(payload)
    body = json.dumps(payload, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInputError(
            "request",
            f"{len(body) / 2**20:.1f} MB",
            f"EvoLink takes at most {MAX_BODY_BYTES // 2**20} MB; "
            "an uploaded file or a link in place of the data itself makes it smaller",
        )
    return body


def _check_json(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        problem = _not_json({name: None})
        if problem is not None:
            raise InvalidInputError("parameters", type(name), problem)
        _check_value(value, name, depth=1)


def _check_value(value: object, path: str, depth: int) -> None:
    problem = f"it is nested more than {MAX_DEPTH} deep" if depth > MAX_DEPTH else _not_json(value)
    if problem is not None:
        # Python refuses to print an integer of more than 4,300 digits, and so whatever may hold one.
        printable = not isinstance(value, int | dict | list | tuple | set | frozenset)
        raise InvalidInputError(path, value if printable else type(value), problem)
    for inner_path, inner in _children(value, path):
        _check_value(inner, inner_path, depth + 1)


def _not_json(value: object) -> str | None:
    if value is None or isinstance(value, bool | list | tuple):
        return None
    if isinstance(value, int):
        return None if value.bit_length() <= MAX_INTEGER_BITS else f"it has more than {MAX_INTEGER_BITS} bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "it must be finite"
    if isinstance(value, str):
        return None if _is_unicode(value) else "it must be valid Unicode"
    if isinstance(value, dict):
        return None if all(isinstance(key, str) and _is_unicode(key) for key in value) else "its names must be text"
    return "it must be a JSON value: text, a number, true, false, null, a list or an object"


def _children(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}", inner
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield f"{path}[{index}]", inner


def _is_blank(value: object) -> bool:
    return not isinstance(value, str) or not value.strip()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
