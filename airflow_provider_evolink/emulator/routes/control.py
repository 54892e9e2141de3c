# SPDX-License-Identifier: Apache-2.0
"""The control API below ``/_emulator/``, for clients on this machine only. EvoLink has nothing like it."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_evolink.emulator.faults.registry import InvalidFaultError
from airflow_provider_evolink.emulator.routes.snapshot import describe_clock, describe_credits
from airflow_provider_evolink.emulator.state.backend import Backend
from airflow_provider_evolink.emulator.state.uploads import UPLOAD_TTL

# The types of the fields, each with its name in JSON.
_FAULT_TYPES = {
    "name": (str, "a string"),
    "on": (str, "a string"),
    "times": (int | None, "an integer or null"),
    "after": (int, "an integer"),
    "probability": (int | float, "a number"),
    "options": (dict, "an object"),
}

Command = Callable[[dict[str, Any]], dict[str, Any]]


class InvalidControlRequestError(ValueError):
    """A control request that the emulator cannot carry out."""


def control_route(name: str, method: str, command: Command) -> Route:
    """Build the route of a control command.

    :param name: path below ``/_emulator/``.
    :param method: GET or POST.
    :param command: gets the JSON body of a POST, and returns the response as JSON values; a ``ValueError`` or
        ``TypeError`` that it raises becomes a 400.
    """

    async def endpoint(request: Request) -> Response:
        if not is_local(request):
            return JSONResponse({"error": "only for clients on this machine"}, 403)
        try:
            return JSONResponse(command(await request.json() if method == "POST" else {}))
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return Route(f"/_emulator/{name}", endpoint, methods=[method])


def inject_fault(backend: Backend, body: Mapping[str, Any]) -> dict[str, Any]:
    """Activate a fault.

    :param backend: backend to inject it into.
    :param body: ``name``, and optionally ``on``, ``times``, ``after``, ``probability`` and ``options``; see
        ``FaultRegistry.inject``.
    :raises InvalidControlRequestError: the fault does not exist, or does not support this.
    """
    _check_fields(body, set(_FAULT_TYPES))
    _check_types(body)
    try:
        fault = backend.faults.inject(
            body.get("name", ""),
            on=body.get("on", "any"),
            times=body.get("times", 1),
            after=body.get("after", 0),
            options=body.get("options", {}),
            probability=body.get("probability", 1.0),
        )
    except InvalidFaultError as error:
        raise InvalidControlRequestError(str(error)) from error
    return fault.describe()


def set_clock(backend: Backend, body: Mapping[str, Any]) -> dict[str, Any]:
    """Change the speed of emulated time, or move it forward, or both.

    :param backend: backend whose clock to change.
    :param body: ``speed`` (emulated seconds per real second), ``advance`` (emulated seconds).
    :raises InvalidControlRequestError: time cannot stand still or go back.
    """
    _check_fields(body, {"speed", "advance"})
    speed, advance = float(body.get("speed", backend.clock.speed)), float(body.get("advance", 0))
    if not (math.isfinite(speed) and speed > 0):
        raise InvalidControlRequestError(f"`speed`={speed} is invalid: must be finite and greater than 0")
    if not (math.isfinite(advance) and advance >= 0):
        raise InvalidControlRequestError(f"`advance`={advance} is invalid: must be finite and at least 0")
    backend.clock.set_speed(speed)
    backend.clock.advance(advance)
    backend.settle()
    return describe_clock(backend)


def change_settings(backend: Backend, body: Mapping[str, Any]) -> dict[str, Any]:
    """Change the lifetime of links or of uploaded files, the query limit or variants, or add credits to the account.

    :param backend: backend to change.
    :param body: any of ``link_ttl`` and ``upload_ttl`` (real seconds; null for the documented lifetime),
        ``query_limit`` (requests per API key and emulated minute; null for no limit), ``variants`` (an object with some
        fields of ``Variants``) and ``add_credits`` (credits).
    :return: the credits of the account.
    :raises InvalidControlRequestError: the query limit is less than one request.
    :raises InvalidVariantError: there is no such variant, or its value is invalid.
    """
    _check_fields(body, {"link_ttl", "upload_ttl", "query_limit", "variants", "add_credits"})
    if "query_limit" in body:
        backend.query_limit.per_minute = _parse_limit(body["query_limit"])
    if "link_ttl" in body:
        backend.link_ttl = _parse_lifetime(body["link_ttl"])
    if "upload_ttl" in body:
        ttl = _parse_lifetime(body["upload_ttl"])
        backend.uploads.ttl = UPLOAD_TTL if ttl is None else ttl
    backend.variants = backend.variants.change(body.get("variants", {}))
    backend.account.deposit(float(body.get("add_credits", 0)))
    return describe_credits(backend)


def is_local(request: Request) -> bool:
    """Return whether a request comes from this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _parse_lifetime(seconds: Any) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=float(seconds))


def _parse_limit(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidControlRequestError(
            f"`query_limit`={value!r} is invalid: must be an integer of at least 1, or null"
        )
    return value


def _check_fields(body: Mapping[str, Any], known: set[str]) -> None:
    if not isinstance(body, dict) or set(body) - known:
        raise InvalidControlRequestError(f"the body must be a JSON object with fields among {', '.join(sorted(known))}")


def _check_types(body: Mapping[str, Any]) -> None:
    for name, (types, type_name) in _FAULT_TYPES.items():
        if name in body and not isinstance(body[name], types):
            raise InvalidControlRequestError(f"`{name}`={body[name]!r} is invalid: must be {type_name}")
