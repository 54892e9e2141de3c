# SPDX-License-Identifier: Apache-2.0
"""Turn the bytes of a submission into a validated spec, or into a documented error response."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.emulator.errors import ApiError
from airflow_provider_evolink.emulator.media.artifacts import SourceImage, plan_artifacts
from airflow_provider_evolink.emulator.routes.request_body import parse_json
from airflow_provider_evolink.emulator.state.generations import SubmissionSpec
from airflow_provider_evolink.emulator.state.pricing import quote

DEFAULT_ESTIMATE = {"video": 120, "image": 45, "audio": 30}

_ECHOED = ("title", "style", "target_model")

LoadImage = Callable[[bytes], Awaitable[SourceImage | None]]
FetchLink = Callable[[str], Awaitable[bytes | None]]


def digest(path: str, body: bytes) -> str:
    """Return the identity of a request: SHA-256 of its path and its exact body."""
    return hashlib.sha256(path.encode() + b"\n" + body).hexdigest()


def parse(body: bytes) -> dict[str, Any]:
    """Parse the body of a submission.

    :param body: JSON.
    :raises ApiError: 400: it is not a JSON object, or has no model.
    """
    try:
        payload = parse_json(body)
    except ValueError:
        raise ApiError(400, message="Request body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise ApiError(400, message="Request body must be a JSON object")
    if not isinstance(payload.get("model"), str) or not payload["model"].strip():
        raise ApiError(400, message="Missing required parameter: model", param="model")
    return payload


def validate(payload: Mapping[str, Any], path: str) -> None:
    """Reject what EvoLink's documentation rules out. Loopback links pass: the emulator serves its own files there.

    :param payload: the submission.
    :param path: path that it was sent to.
    :raises ApiError: 400, with the name of the parameter.
    """
    model = payload["model"]
    if (known := catalog.find(model)) and known.endpoint != path:
        raise ApiError(400, message=f"Model {model} is not served at {path}", param="model")
    parameters = {name: value for name, value in payload.items() if name != "model"}
    try:
        request.check(model, parameters, allow_loopback=True)
    except InvalidInputError as error:
        message = f"Invalid request parameters: {error.parameter} must be {error.allowed}"
        raise ApiError(400, message=message, param=error.parameter) from error


async def load_source_image(
    payload: Mapping[str, Any], fetch: FetchLink, load: LoadImage
) -> tuple[SourceImage | None, bool]:
    """Load the first image of a submission. The emulator fetches links to its own files only.

    :param payload: the submission.
    :param fetch: returns the content behind a link to the emulator, empty if the link is dead; None for other links.
    :param load: decodes an image; returns None if it cannot be decoded.
    :return: the image, if there is one to load; and False if it cannot be decoded, else True.
    """
    urls = payload.get("image_urls")
    reference = urls[0] if isinstance(urls, list) and urls else payload.get("image_start")
    if not isinstance(reference, str):
        return None, True
    data = await fetch(reference)
    if data is None and not reference.lower().startswith(("http://", "https://")):
        data = _decode_base64(reference)
    if data is None:
        return None, True
    image = await load(data)
    return image, image is not None


def build_spec(
    payload: Mapping[str, Any],
    kind: str,
    image: SourceImage | None,
    *,
    idempotency_key: str | None,
    request_digest: str,
    origin: str,
) -> SubmissionSpec:
    """Determine what a validated submission delivers and costs.

    :param payload: the submission.
    :param kind: video, image or audio.
    :param image: its source image, if any.
    :param idempotency_key: its idempotency key, if any.
    :param request_digest: see ``digest``.
    :param origin: scheme, host and port that the client uses for the emulator.
    """
    known = catalog.find(payload["model"])
    model = _model_in_use(payload["model"], known)
    parameters = _defaults(known) | dict(payload)
    artifacts = plan_artifacts(model, kind, parameters, image)
    return SubmissionSpec(
        model=model,
        kind=kind,
        artifacts=artifacts,
        quote=quote(model, kind, parameters, artifacts),
        estimated_seconds=float((known and known.estimated_seconds) or DEFAULT_ESTIMATE[kind]),
        prompt=str(payload.get("prompt") or ""),
        callback_url=payload.get("callback_url"),
        idempotency_key=idempotency_key,
        request_digest=request_digest,
        origin=origin,
        echo={name: parameters[name] for name in _ECHOED if isinstance(parameters.get(name), str)},
    )


def _model_in_use(name: str, known: catalog.Model | None) -> str:
    """Return the model that EvoLink uses, and answers with, for the requested one."""
    return (known.served_as or known.name) if known else name


def _defaults(model: catalog.Model | None) -> dict[str, Any]:
    properties = model.schema.get("properties", {}) if model else {}
    return {name: schema["default"] for name, schema in properties.items() if "default" in schema}


def _decode_base64(reference: str) -> bytes | None:
    is_data_url = reference[:5].lower() == "data:"
    try:
        return base64.b64decode(reference.partition(",")[2] if is_data_url else reference)
    except (binascii.Error, ValueError):
        return None
