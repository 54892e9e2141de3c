# SPDX-License-Identifier: Apache-2.0
"""Check a request and encode it as the exact bytes that will be sent.

What EvoLink documents for a model is enforced. What it does not document (an unknown model or parameter) passes with
a warning, since EvoLink's documentation grows faster than the catalog here; but not what is surely a misspelling, which
EvoLink would ignore.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.api import catalog, coercion
from airflow_provider_evolink.api.addresses import check_public_url, without_secrets
from airflow_provider_evolink.api.constraints import check_rules
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.json_values import check_json
from airflow_provider_evolink.api.misspellings import meant
from airflow_provider_evolink.api.pending_media import PendingMedia, fill_in, with_sources
from airflow_provider_evolink.api.schema import Undocumented, check_schema, undocumented
from airflow_provider_evolink.api.wording import megabytes, shorten

# Documented for the models that take media in the request itself.
MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_CALLBACK_URL = 2048
# What every model takes, besides its own parameters.
_ALWAYS: Mapping[str, Any] = {"model": {}, "callback_url": {}}


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request that EvoLink should accept.

    :param model: model id.
    :param endpoint: path that the body is posted to.
    :param body: JSON in UTF-8, with a placeholder for each media value whose link is not known yet. The same values
        give the same bytes.
    :param warnings: what could not be checked, each mentioned once.
    :param pending_media: the media that the placeholders stand for, one for each place; an identity may repeat.
    """

    model: str
    endpoint: str
    body: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()
    pending_media: tuple[PendingMedia, ...] = ()

    def with_links(self, links: Mapping[str, str]) -> bytes:
        """Return the body to send: ``body`` itself if no media is pending, else with the links in place.

        :param links: the link of each pending media value, by its identity. The same links give the same bytes.
        :raises KeyError: one is missing; its argument is the identity.
        """
        return fill_in(self.body, {media.identity for media in self.pending_media}, links)


# Turns the media among a model's parameters into what the model takes, as far as that is known already.
ResolveMedia = Callable[[str, dict[str, Any]], tuple[dict[str, Any], tuple[PendingMedia, ...]]]


def prepare(
    model: str,
    parameters: Mapping[str, Any],
    *,
    media_type: str | None = None,
    allow_loopback: bool = False,
    resolve_media: ResolveMedia | None = None,
) -> GenerationRequest:
    """Check a model's parameters and encode them for sending.

    :param parameters: everything but ``model``; ``None`` values are left out. Sequences become lists, and a number
        that a template rendered as text becomes a number again (see
        :mod:`~airflow_provider_evolink.api.coercion`).
    :param media_type: ``video``, ``image`` or ``audio``, for a model that is not in the catalog.
    :param allow_loopback: accept links to this machine, which an API on this machine can follow.
    :param resolve_media: see :class:`airflow_provider_evolink.media.resolver.MediaResolver`. Without it, media must
        have a form that the model itself takes.
    :raises InvalidInputError: a value is not allowed; nothing was sent.
    """
    given = _given(parameters)
    pending: tuple[PendingMedia, ...] = ()
    if resolve_media is not None and not _is_blank(model):
        given, pending = resolve_media(model, given)
    given = _coerced(model, given)
    try:
        warnings = check(model, given, allow_loopback=allow_loopback)
        _refuse_empty_templates(given)
    except InvalidInputError as error:
        raise type(error)(error.parameter, with_sources(error.value, pending), error.allowed) from None
    endpoint = catalog.endpoint_for(model, media_type)
    return GenerationRequest(model, endpoint, encode_body({"model": model, **given}), tuple(warnings), pending)


def _given(parameters: object) -> dict[str, Any]:
    if not isinstance(parameters, Mapping):
        raise InvalidInputError("parameters", parameters, "a mapping of parameter names to values")
    return {name: coercion.plain(value, name) for name, value in parameters.items() if value is not None}


def _refuse_empty_templates(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value == "None":
            raise InvalidInputError(name, value, "a value: a template that finds none renders as the text 'None'")


def _coerced(model: Any, given: dict[str, Any]) -> dict[str, Any]:
    known = catalog.find(model) if isinstance(model, str) else None
    return coercion.fit(given, {"type": "object", **known.schema}) if known else given


def check(model: str, parameters: Mapping[str, Any], *, allow_loopback: bool = False) -> list[str]:
    """Reject parameters that EvoLink's documentation rules out. Sends nothing.

    :param model: model id.
    :param parameters: everything sent besides ``model``, as final values (no templates).
    :param allow_loopback: accept links to this machine, which an API on this machine can follow.
    :return: a warning for a model that is not in the catalog or is withdrawn, and for each parameter that is
        undocumented or has no effect.
    :raises InvalidInputError: a parameter is missing, misspelled, of the wrong type, out of range or not JSON, or
        conflicts with another.
    """
    if _is_blank(model):
        raise InvalidInputError("model", model, "the id of an EvoLink model")
    check_json({"model": model, **parameters})
    if parameters.get("model", model) != model:
        raise InvalidInputError(
            "parameters.model", parameters["model"], f"left out, or equal to `model`, which is {shorten(model)}"
        )
    if "callback_url" in parameters:
        check_callback_url(parameters["callback_url"], allow_loopback=allow_loopback)
    known = catalog.find(model)
    if known is None:
        return [_unknown_model(model)]
    unlisted = _undocumented(parameters, known)
    own = {name: value for name, value in parameters.items() if name not in _ALWAYS}
    check_schema(own, known.schema, allow_loopback=allow_loopback)
    return [*_replacements(known), *check_rules(own, known.rules, known.schema), *unlisted]


def check_callback_url(url: object, *, allow_loopback: bool = False) -> None:
    """Reject a callback URL that EvoLink would not call: https, public, at most 2048 characters (documented).

    :param url: judged by its text, never resolved.
    :param allow_loopback: also accept http and https URLs of this machine.
    :raises InvalidInputError: names ``callback_url``; shows the URL without its query, which may hold a secret.
    """
    check_public_url(url, parameter="callback_url", max_length=_MAX_CALLBACK_URL, allow_loopback=allow_loopback)


def encode_body(payload: Mapping[str, Any]) -> bytes:
    """Encode a request as compact UTF-8 JSON: the same bytes for the same values in any order.

    :param payload: the whole request, ``model`` included, which has passed :func:`check`.
    :raises InvalidInputError: the body is larger than the documented 64 MB.
    """
    body = json.dumps(payload, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInputError(
            "request",
            megabytes(len(body)),
            f"at most {megabytes(MAX_BODY_BYTES)}; to shrink it, pass links or upload='always' instead of the data",
        )
    return body


def _is_blank(value: object) -> bool:
    return not isinstance(value, str) or not value.strip()


def _unknown_model(model: str) -> str:
    """Return the warning about a model that is not in the catalog; reject one that is merely spelled differently."""
    close = catalog.closest(model)
    if close is not None and close.lower() == model.strip().lower():
        raise InvalidInputError("model", model, f"spelled {close!r}")
    return f"{_suggestion(close)}The model {model!r} is not in the catalog: its parameters are sent unchecked."


def _suggestion(close: str | None) -> str:
    return f"Did you mean {close!r}? " if close else ""


def _replacements(model: catalog.Model) -> Iterator[str]:
    if model.replaced_by:
        yield f"EvoLink has withdrawn {model.name}; use {model.replaced_by} instead."
    if model.served_as:
        yield f"EvoLink runs and bills {model.served_as} instead of {model.name}."


def _undocumented(parameters: Mapping[str, Any], model: catalog.Model) -> list[str]:
    """Return warnings about parameters that are not documented; reject those that are misspelled."""
    schema = {"properties": {**model.schema["properties"], **_ALWAYS}}
    unlisted = list(undocumented({"model": model.name, **parameters}, schema))
    for parameter in unlisted:
        _refuse_misspelled(parameter)
    return [
        f"`{parameter.path}` is not documented for {model.name}: it is sent unchecked. See {model.documentation}"
        for parameter in unlisted
    ]


def _refuse_misspelled(given: Undocumented) -> None:
    """Reject a name that looks like a documented one, unless that is given as well: then it may be a new parameter."""
    name = meant(given.name, given.documented)
    if name is None or name in given.beside:
        return
    allowed = (
        f"named `{name}`, of which it looks like a misspelling: EvoLink would ignore it. If it is a new parameter of "
        f"EvoLink's, give `{name}` as well"
    )
    raise InvalidInputError(given.path, without_secrets(given.beside[given.name]), allowed)
