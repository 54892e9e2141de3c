# SPDX-License-Identifier: Apache-2.0
"""The emulator's command line."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.server import Server, address, listen
from airflow_provider_evolink.emulator.settings import DEFAULT_KEY, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator until SIGINT or SIGTERM.

    :param arguments: as on the command line; None for this process's own.
    :return: exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    settings = Settings(
        clock=options.clock,
        keys=tuple(options.key or [DEFAULT_KEY]),
        credits=options.credits,
        denied_models=frozenset(options.deny_model),
        media_dir=options.media_dir,
        query_limit=options.query_limit,
        seed=options.seed,
    )
    try:
        listener = listen(options.host, options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"can't listen at {options.host}, port {options.port}: {error}")
    asyncio.run(_serve(settings, listener))
    return 0


async def _serve(settings: Settings, listener: socket.socket) -> None:
    url = address(listener)
    server = Server(Emulator(settings), lambda: print(f"EvoLink emulator listening on {url}", flush=True))

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve([listener])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_evolink.emulator",
        description="A local EvoLink: it takes the same requests, gives the same answers, and charges nothing.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen at (default: any free one)")
    add("--clock", type=_pace, default=1.0, help="how many times as fast as real generations run (default: 1)")
    add("--key", action="append", help=f"an API key to take; may be repeated (default: {DEFAULT_KEY})")
    add("--credits", type=float, default=1000.0, help="what the account starts with (default: %(default)s)")
    add("--deny-model", action="append", default=[], help="a model without access; may be repeated")
    add("--media-dir", type=Path, help="folder to keep a copy of every rendered file in")
    add(
        "--query-limit",
        type=_limit,
        metavar="N",
        help="queries about generations that each key may send in an emulated minute, such as 60 (default: no limit)",
    )
    add("--seed", type=int, help="makes ids, links and the chances of faults repeatable")
    return parser


def _limit(text: str) -> int:
    limit = int(text)
    if limit < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return limit


def _pace(text: str) -> float:
    pace = float(text)
    if not pace > 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return pace
