# SPDX-License-Identifier: Apache-2.0
"""From an operator's arguments to a model's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.addresses import without_secrets
from airflow_provider_evolink.api.coercion import A_RECORD, MADE_TEXT
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.media import image_reference, is_link
from airflow_provider_evolink.api.schema import LINKS_ONLY
from airflow_provider_evolink.operators.image_input import read_image

_ONE_PICTURE = "it must be one picture: a link, a data URL, base64, a path or a storage URI"


def as_parameters(given: object) -> Mapping[str, Any]:
    """
    Return an operator's ``parameters``.

    :raises InvalidInputError: they are no mapping.
    """
    if not isinstance(given, Mapping):
        hint = MADE_TEXT if isinstance(given, str) else ""
        raise InvalidInputError("parameters", given, f"it must be a mapping of parameter names to values{hint}")
    return given


def picture_parameters(model: object, image: object, *, allow_loopback: bool) -> dict[str, Any]:
    """
    Return the parameter that carries the picture of an image-to-video model.

    :param model: model id.
    :param image: a picture in any form, or a sequence that holds one, as a mapped task hands it over.
    :param allow_loopback: let links to this machine pass, as an API on this machine can follow them.
    :return: ``image_urls``, or ``image_start`` for models that are documented to take that in its place.
    :raises InvalidInputError: no picture, more than one, a form that the model does not take, or it takes none.
    :raises UnreadableInputError, ConnectionError, TimeoutError: it can't be read; nothing was sent.
    """
    picture = _one(image)
    carrier, form = _carrier_of_pictures(model)
    if form == "http-url" and not is_link(picture):
        raise InvalidInputError("image", without_secrets(picture), LINKS_ONLY)
    reference = image_reference(picture, read_image, allow_loopback=allow_loopback)
    return {carrier: reference if carrier == "image_start" else [reference]}


def _carrier_of_pictures(model: object) -> tuple[str, str | None]:
    """Return the parameter that takes a model's picture, and its documented form."""
    known = catalog.find(model) if isinstance(model, str) else None
    properties: Mapping[str, Any] = known.schema["properties"] if known else {"image_urls": {"items": {}}}
    carrier = next((name for name in ("image_urls", "image_start") if name in properties), None)
    if carrier is None:
        raise InvalidInputError(
            "model", model, "it must be a model that makes videos of a picture: this one takes none"
        )
    if known and known.endpoint != catalog.endpoint_for("", "video"):
        raise InvalidInputError(
            "model", model, "it must be a model that makes videos; EvoLinkGenerateOperator runs others"
        )
    facts = properties[carrier]
    return carrier, facts.get("items", facts).get("format")


def _one(image: object) -> str:
    if isinstance(image, Sequence) and not isinstance(image, str | bytes | bytearray):
        if len(image) != 1:
            raise InvalidInputError("image", type(image), f"{_ONE_PICTURE}, not {len(image)}")
        image = image[0]
    if not isinstance(image, str | PathLike) and not hasattr(image, "open"):
        hint = A_RECORD if isinstance(image, Mapping) and "results" in image else ""
        raise InvalidInputError("image", None if image is None else type(image), f"{_ONE_PICTURE}{hint}")
    return str(image)
