# SPDX-License-Identifier: Apache-2.0
"""Check an operator's arguments, and convert them into a model's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.addresses import without_secrets
from airflow_provider_evolink.api.coercion import RECORD_HINT, RENDERED_TEXT_HINT
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.media import image_reference, looks_like_url
from airflow_provider_evolink.api.schema import LINKS_ONLY
from airflow_provider_evolink.operators.image_input import read_image

_SINGLE_IMAGE = "a single image: a link, a data URL, base64, a path or a storage URI"
# More than any model makes at once.
_MOST_RESULTS = 100


def as_parameters(given: object) -> Mapping[str, Any]:
    """Return an operator's ``parameters``.

    :raises InvalidInputError: they are not a mapping.
    """
    if not isinstance(given, Mapping):
        hint = RENDERED_TEXT_HINT if isinstance(given, str) else ""
        raise InvalidInputError("parameters", given, f"a mapping of parameter names to values{hint}")
    return given


def image_parameters(model: object, image: object, *, allow_loopback: bool, videos_only: bool = True) -> dict[str, Any]:
    """Return the parameter that holds the one image that a model starts from.

    :param model: EvoLink's model id.
    :param image: an image in any form, or a sequence that contains one, as a mapped task passes it.
    :param allow_loopback: accept links to this machine, which an API on this machine can follow.
    :param videos_only: reject models that are documented to make anything else.
    :return: ``image_urls``, or ``image_start`` for models that are documented to take that instead.
    :raises InvalidInputError: no image, more than one, a form that the model does not take, or it takes no image.
    :raises UnreadableInputError, ConnectionError, TimeoutError: it can't be read; nothing was sent.
    """
    location = _single(image)
    parameter, form, endpoint = _image_parameter(model)
    if videos_only and endpoint not in (None, catalog.endpoint_for("", "video")):
        raise InvalidInputError("model", model, "a model that makes videos; EvoLinkGenerateOperator runs the others")
    if form == "http-url" and not looks_like_url(location):
        raise InvalidInputError("image", without_secrets(location), LINKS_ONLY)
    reference = image_reference(location, read_image, allow_loopback=allow_loopback)
    return {parameter: reference if parameter == "image_start" else [reference]}


def results_requested(parameters: Mapping[str, Any]) -> int:
    """Return how many results a request asks for: ``n`` where a model takes it (documented), otherwise one."""
    try:
        return min(max(int(parameters["n"]), 1), _MOST_RESULTS)
    except (KeyError, TypeError, ValueError, OverflowError):
        return 1


def _image_parameter(model: object) -> tuple[str, str | None, str | None]:
    """Return the name of the parameter that takes a model's image, and its documented format and endpoint."""
    known = catalog.find(model) if isinstance(model, str) else None
    properties: Mapping[str, Any] = known.schema["properties"] if known else {"image_urls": {"items": {}}}
    parameter = next((name for name in ("image_urls", "image_start") if name in properties), None)
    if parameter is None:
        raise InvalidInputError("model", model, "a model that starts from an image, which this one does not take")
    schema = properties[parameter]
    return parameter, schema.get("items", schema).get("format"), known.endpoint if known else None


def _single(image: object) -> str:
    if isinstance(image, Sequence) and not isinstance(image, str | bytes | bytearray):
        if len(image) != 1:
            raise InvalidInputError("image", type(image), f"{_SINGLE_IMAGE}, not {len(image)}")
        image = image[0]
    if not isinstance(image, str | PathLike) and not hasattr(image, "open"):
        hint = RECORD_HINT if isinstance(image, Mapping) and "results" in image else ""
        raise InvalidInputError("image", None if image is None else type(image), f"{_SINGLE_IMAGE}{hint}")
    return str(image)
