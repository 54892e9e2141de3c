# SPDX-License-Identifier: Apache-2.0
"""What the faults of the `answer` stage do to an exchange."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import HTMLResponse, JSONResponse, Response

from airflow_provider_evolink.emulator.exchange import Answer, Exchange
from airflow_provider_evolink.emulator.faults import Fault
from airflow_provider_evolink.emulator.refusals import page, refuse

_HTML = """<!DOCTYPE html>
<html><head><title>Just a moment...</title></head><body><h1>Checking your browser</h1></body></html>
"""
_DROPPED_REQUEST_HEADERS = {"ignore_idempotency": "idempotency-key", "no_range": "range"}
_FLIPPED = bytes(range(255, -1, -1))
_PIECE = b" " * 65_536
_PAUSE_BETWEEN_PIECES = 0.01


async def misbehave(fault: Fault, exchange: Exchange) -> None:
    """Answer an exchange as a fault has it.

    :param fault: of the `answer` stage.
    :param exchange: the request.
    """
    if change := _CHANGES.get(fault.name):
        original = await exchange.proceed(dropping=_DROPPED_REQUEST_HEADERS.get(fault.name))
        await exchange.answer(change(fault, original))
    elif interfere := _CONNECTION.get(fault.name):
        await interfere(fault, exchange)
    else:
        await (exchange.proceed() if fault.options.get("processed") else exchange.read_all())
        await exchange.answer(Answer.of(_REPLACEMENTS[fault.name](fault, exchange.endpoint)))


async def _lose_reply(_fault: Fault, exchange: Exchange) -> None:
    await exchange.proceed()
    await exchange.hang_up()


async def _reset(_fault: Fault, exchange: Exchange) -> None:
    await exchange.hang_up()


async def _slow(fault: Fault, exchange: Exchange) -> None:
    answer = await exchange.proceed()
    await asyncio.sleep(fault.options["seconds"])
    await exchange.answer(answer)


async def _endless(_fault: Fault, exchange: Exchange) -> None:
    await exchange.read_all()
    await exchange.begin(Answer(200, ((b"content-type", b"application/json"),), b""))
    while not exchange.is_over:
        await exchange.continue_with(_PIECE)
        await asyncio.sleep(_PAUSE_BETWEEN_PIECES)


async def _truncate(fault: Fault, exchange: Exchange) -> None:
    original = await exchange.proceed()
    await exchange.begin(original)
    await exchange.continue_with(original.body[: int(len(original.body) * fault.options["share"])])
    await exchange.hang_up(politely=True)


def _break_json(_fault: Fault, original: Answer) -> Answer:
    return original.with_body(original.body[: len(original.body) // 2])


def _reshape(fault: Fault, original: Answer) -> Answer:
    return original.with_body(json.dumps(fault.options["body"]).encode())


def _corrupt(fault: Fault, original: Answer) -> Answer:
    sound, rest = original.body[: fault.options["from_byte"]], original.body[fault.options["from_byte"] :]
    return original.with_body(sound + rest.translate(_FLIPPED))


def _as_it_is(_fault: Fault, original: Answer) -> Answer:
    return original


def _without_ranges(_fault: Fault, original: Answer) -> Answer:
    return original.without_header("accept-ranges")


def _rate_limit(fault: Fault, endpoint: str) -> Response:
    response = refuse(endpoint, 429)
    if fault.options["retry_after"] is not None:
        response.headers["retry-after"] = str(fault.options["retry_after"])
    return response


def _with_status(fault: Fault, endpoint: str) -> Response:
    return refuse(endpoint, fault.options["status"])


def _refused(fault: Fault, endpoint: str) -> Response:
    words = {} if fault.options["message"] is None else {"message": fault.options["message"]}
    return refuse(endpoint, fault.options["status"], **words)


def _html(fault: Fault, _endpoint: str) -> Response:
    return HTMLResponse(_HTML, fault.options["status"])


def _redirect(fault: Fault, _endpoint: str) -> Response:
    return Response(status_code=fault.options["status"], headers={"location": fault.options["location"]})


def _vanished(_fault: Fault, endpoint: str) -> Response:
    return JSONResponse({"data": []}) if endpoint == "batch" else refuse(endpoint, 404)


def _expired(fault: Fault, _endpoint: str) -> Response:
    return page(fault.options["status"])


def _no_such_path(_fault: Fault, _endpoint: str) -> Response:
    return refuse("submit", 404)


_CONNECTION: Mapping[str, Callable[[Fault, Exchange], Awaitable[None]]] = {
    "lost_reply": _lose_reply,
    "reset": _reset,
    "slow": _slow,
    "endless_body": _endless,
    "truncated_media": _truncate,
}
_CHANGES: Mapping[str, Callable[[Fault, Answer], Answer]] = {
    "broken_json": _break_json,
    "wrong_shape": _reshape,
    "corrupt_media": _corrupt,
    "ignore_idempotency": _as_it_is,
    "no_range": _without_ranges,
}
_REPLACEMENTS: Mapping[str, Callable[[Fault, str], Response]] = {
    "rate_limit": _rate_limit,
    "server_error": _with_status,
    "refused": _refused,
    "html": _html,
    "redirect": _redirect,
    "vanished": _vanished,
    "expired_link": _expired,
    "no_batch": _no_such_path,
}
