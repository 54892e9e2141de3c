# SPDX-License-Identifier: Apache-2.0
"""Command line of the emulator."""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_evolink.emulator.app import Emulator
from airflow_provider_evolink.emulator.server import Server, address, listen
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator until SIGINT or SIGTERM.

    :param arguments: command line arguments; None for those of this process.
    :return: exit code.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    settings = Settings(
        clock=options.clock,
        api_keys=tuple(options.api_key or [DEFAULT_API_KEY]),
        credits=options.credits,
        denied_models=frozenset(options.deny_model),
        media_dir=options.media_dir,
        query_limit=options.query_limit,
        seed=options.seed,
    )
    try:
        listener = listen(options.host, options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot listen on {options.host} port {options.port}: {error}")
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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_evolink.emulator",
        description="A local EvoLink: same requests, same responses, no charges.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on (default: any free port)")
    add("--clock", type=_speed, default=1.0, metavar="SPEED", help="emulated seconds per real second (default: 1)")
    add("--api-key", action="append", help=f"API key to accept; may be repeated (default: {DEFAULT_API_KEY})")
    add("--credits", type=_balance, default=1000.0, help="initial balance of the account (default: %(default)s)")
    add("--deny-model", action="append", default=[], help="model that the account may not use; may be repeated")
    add("--media-dir", type=Path, help="directory that keeps a copy of every rendered file")
    add(
        "--query-limit",
        type=_count,
        metavar="N",
        help="status queries allowed per API key and emulated minute, for example 60 (default: no limit)",
    )
    add("--seed", type=int, help="seed that makes ids, links and probabilistic faults reproducible")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _speed(text: str) -> float:
    speed = _number(text)
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number greater than 0, not {text!r}")
    return speed


def _balance(text: str) -> float:
    balance = _number(text)
    if not 0 <= balance < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number from 0, not {text!r}")
    return balance


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
