# SPDX-License-Identifier: Apache-2.0
"""Reads a submission: from the bytes of a request to a checked order, or a refusal in the documented words."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.emulator.artifacts import Picture, plan
from airflow_provider_evolink.emulator.bodies import read_json
from airflow_provider_evolink.emulator.faults import Fault
from airflow_provider_evolink.emulator.jobs import Destiny, Order
from airflow_provider_evolink.emulator.prices import quote
from airflow_provider_evolink.emulator.refusals import RefusedError

DEFAULT_ESTIMATE = {"video": 120, "image": 45, "audio": 30}

Inspect = Callable[[bytes], Awaitable[Picture | None]]
Fetch = Callable[[str], Awaitable[bytes | None]]

_MESSAGES = {
    "content_policy_violation": "Content policy violation.\nYour request was blocked by safety filters.",
    "service_error": "Service error.\nPlease wait 30-60 seconds and send the same request again.",
}
_DESTINIES: Mapping[str, Callable[[Mapping[str, Any]], Destiny]] = {
    "task_failure": lambda options: _failure(options["code"], options["message"]),
    "moderation": lambda options: _failure(options["code"], options["message"]),
    "cancelled": lambda _: Destiny("cancelled"),
    "unknown_status": lambda options: Destiny(running=options["status"]),
    "no_results": lambda _: Destiny(delivers="nothing"),
    "result_data_only": lambda _: Destiny(delivers="result_data"),
    "stall": lambda options: Destiny(stuck_at=options["progress"]),
}


def digest(path: str, body: bytes) -> str:
    """Tell a request from others: SHA-256 of where it was sent and of its very bytes."""
    return hashlib.sha256(path.encode() + b"\n" + body).hexdigest()


def parse(body: bytes) -> dict[str, Any]:
    """Read a submission's body.

    :param body: JSON.
    :raises RefusedError: it is no JSON object, or names no model.
    """
    try:
        payload = read_json(body)
    except ValueError:
        raise RefusedError(400, message="Request body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise RefusedError(400, message="Request body must be a JSON object")
    if not isinstance(payload.get("model"), str) or not payload["model"].strip():
        raise RefusedError(400, message="Missing required parameter: model", param="model")
    return payload


def check(payload: Mapping[str, Any], path: str) -> None:
    """Refuse what the documents refuse; links to this machine, where the emulator's own files are, may pass.

    :param payload: the submission.
    :param path: the endpoint it was sent to.
    :raises RefusedError: 400, with the parameter's name.
    """
    model = payload["model"]
    if (known := catalog.find(model)) and known.endpoint != path:
        raise RefusedError(400, message=f"Model {model} is not served at {path}", param="model")
    parameters = {name: value for name, value in payload.items() if name != "model"}
    try:
        request.check(model, parameters, allow_loopback=True)
    except InvalidInputError as error:
        message = f"Invalid request parameters: {error.parameter}: {error.allowed}"
        raise RefusedError(400, message=message, param=error.parameter) from error


async def first_picture(payload: Mapping[str, Any], fetch: Fetch, inspect: Inspect) -> tuple[Picture | None, bool]:
    """Find the picture to start from. Links to elsewhere are not followed: the emulator fetches only its own files.

    :param payload: the submission.
    :param fetch: returns the bytes behind a link of our own, empty if it is dead; None for other links.
    :param inspect: decodes a picture; None when it can't.
    :return: the picture, if one was sent; and whether all that was sent can be decoded.
    """
    urls = payload.get("image_urls")
    reference = urls[0] if isinstance(urls, list) and urls else payload.get("image_start")
    if not isinstance(reference, str):
        return None, True
    data = await fetch(reference)
    if data is None and not reference.lower().startswith(("http://", "https://")):
        data = _decode(reference)
    if data is None:
        return None, True
    picture = await inspect(data)
    return picture, picture is not None


def order(
    payload: Mapping[str, Any],
    kind: str,
    picture: Picture | None,
    *,
    key: str | None,
    request_digest: str,
    origin: str,
) -> Order:
    """Work out what a checked submission delivers and costs.

    :param payload: the submission.
    :param kind: video, image or audio.
    :param picture: the picture to start from.
    :param key: its idempotency key.
    :param request_digest: see `digest`.
    :param origin: scheme, host and port under which the client knows the emulator.
    """
    model = payload["model"]
    known = catalog.find(model)
    parameters = _defaults(known) | dict(payload)
    artifacts = plan(kind, parameters, picture)
    return Order(
        model=model,
        kind=kind,
        artifacts=artifacts,
        quote=quote(model, parameters, artifacts),
        estimated_seconds=float((known and known.estimated_seconds) or DEFAULT_ESTIMATE[kind]),
        prompt=str(payload.get("prompt") or ""),
        callback_url=payload.get("callback_url"),
        idempotency_key=key,
        digest=request_digest,
        origin=origin,
    )


def destiny(fault: Fault | None, picture_is_readable: bool) -> Destiny:
    """Decide how a generation will go.

    :param fault: what was switched on for it, if anything.
    :param picture_is_readable: a picture that cannot be decoded is found out only while it is processed.
    """
    if not picture_is_readable:
        return _failure("image_processing_error")
    return _DESTINIES[fault.name](fault.options) if fault else Destiny()


def _failure(code: str, message: str | None = None) -> Destiny:
    in_words = _MESSAGES.get(code) or code.replace("_", " ").capitalize() + "."
    return Destiny("failed", code, message or in_words)


def _defaults(model: catalog.Model | None) -> dict[str, Any]:
    properties = model.schema.get("properties", {}) if model else {}
    return {name: schema["default"] for name, schema in properties.items() if "default" in schema}


def _decode(reference: str) -> bytes | None:
    is_data_url = reference[:5].lower() == "data:"
    try:
        return base64.b64decode(reference.partition(",")[2] if is_data_url else reference)
    except (binascii.Error, ValueError):
        return None
