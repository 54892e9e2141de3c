# SPDX-License-Identifier: Apache-2.0
"""What the faults of the stage ``response`` do to a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import HTMLResponse, JSONResponse, Response

from airflow_provider_evolink.emulator.errors import error_page, error_response
from airflow_provider_evolink.emulator.faults.interception import CapturedResponse, InterceptedRequest
from airflow_provider_evolink.emulator.faults.registry import Fault

_HTML = """<!DOCTYPE html>
<html><head><title>Just a moment...</title></head><body><h1>Checking your browser</h1></body></html>
"""
_HIDDEN_HEADERS = {"ignore_idempotency": "idempotency-key", "range_unsupported": "range"}
_INVERTED = bytes(range(255, -1, -1))
_CHUNK = b" " * 65_536
_CHUNK_INTERVAL = 0.01


async def apply_fault(fault: Fault, request: InterceptedRequest) -> None:
    """Respond to a request as a fault requires.

    :param fault: of the stage ``response``.
    :param request: the request.
    """
    if alter := _ALTERATIONS.get(fault.name):
        original = await request.process(without_header=_HIDDEN_HEADERS.get(fault.name))
        await request.respond(alter(fault, original))
    elif disturb := _CONNECTION_FAULTS.get(fault.name):
        await disturb(fault, request)
    else:
        await (request.process() if fault.options.get("processed") else request.drain())
        await request.respond(CapturedResponse.from_starlette(_REPLACEMENTS[fault.name](fault, request.endpoint)))


async def _lose_reply(_fault: Fault, request: InterceptedRequest) -> None:
    await request.process()
    await request.close()


async def _reset_connection(_fault: Fault, request: InterceptedRequest) -> None:
    await request.close()


async def _delay_response(fault: Fault, request: InterceptedRequest) -> None:
    response = await request.process()
    await asyncio.sleep(fault.options["seconds"])
    await request.respond(response)


async def _send_endless_body(_fault: Fault, request: InterceptedRequest) -> None:
    await request.drain()
    await request.send_headers(CapturedResponse(200, ((b"content-type", b"application/json"),), b""))
    while not request.is_closed:
        await request.send_chunk(_CHUNK)
        await asyncio.sleep(_CHUNK_INTERVAL)


async def _truncate_body(fault: Fault, request: InterceptedRequest) -> None:
    original = await request.process()
    await request.send_headers(original)
    await request.send_chunk(original.body[: int(len(original.body) * fault.options["fraction"])])
    await request.close(graceful=True)


def _malform_json(_fault: Fault, original: CapturedResponse) -> CapturedResponse:
    return original.with_body(original.body[: len(original.body) // 2])


def _replace_json(fault: Fault, original: CapturedResponse) -> CapturedResponse:
    return original.with_body(json.dumps(fault.options["body"]).encode())


def _corrupt_body(fault: Fault, original: CapturedResponse) -> CapturedResponse:
    intact, rest = original.body[: fault.options["from_byte"]], original.body[fault.options["from_byte"] :]
    return original.with_body(intact + rest.translate(_INVERTED))


def _keep_response(_fault: Fault, original: CapturedResponse) -> CapturedResponse:
    return original


def _hide_range_support(_fault: Fault, original: CapturedResponse) -> CapturedResponse:
    return original.without_header("accept-ranges")


def _rate_limit(fault: Fault, endpoint: str) -> Response:
    response = error_response(endpoint, 429)
    if fault.options["retry_after"] is not None:
        response.headers["retry-after"] = str(fault.options["retry_after"])
    return response


def _server_error(fault: Fault, endpoint: str) -> Response:
    return error_response(endpoint, fault.options["status"])


def _http_error(fault: Fault, endpoint: str) -> Response:
    fields = {} if fault.options["message"] is None else {"message": fault.options["message"]}
    return error_response(endpoint, fault.options["status"], **fields)


def _html(fault: Fault, _endpoint: str) -> Response:
    return HTMLResponse(_HTML, fault.options["status"])


def _redirect(fault: Fault, _endpoint: str) -> Response:
    return Response(status_code=fault.options["status"], headers={"location": fault.options["location"]})


def _not_found(_fault: Fault, endpoint: str) -> Response:
    return JSONResponse({"data": []}) if endpoint == "batch" else error_response(endpoint, 404)


def _expired_link(fault: Fault, _endpoint: str) -> Response:
    return error_page(fault.options["status"])


def _unknown_path(_fault: Fault, _endpoint: str) -> Response:
    return error_response("submit", 404)


_CONNECTION_FAULTS: Mapping[str, Callable[[Fault, InterceptedRequest], Awaitable[None]]] = {
    "lost_response": _lose_reply,
    "connection_reset": _reset_connection,
    "slow_response": _delay_response,
    "endless_body": _send_endless_body,
    "truncated_media": _truncate_body,
}
_ALTERATIONS: Mapping[str, Callable[[Fault, CapturedResponse], CapturedResponse]] = {
    "malformed_json": _malform_json,
    "unexpected_json": _replace_json,
    "corrupt_media": _corrupt_body,
    "ignore_idempotency": _keep_response,
    "range_unsupported": _hide_range_support,
}
_REPLACEMENTS: Mapping[str, Callable[[Fault, str], Response]] = {
    "rate_limit": _rate_limit,
    "server_error": _server_error,
    "http_error": _http_error,
    "html_response": _html,
    "redirect": _redirect,
    "not_found": _not_found,
    "expired_link": _expired_link,
    "batch_unsupported": _unknown_path,
}
