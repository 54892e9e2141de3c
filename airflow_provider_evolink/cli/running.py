# SPDX-License-Identifier: Apache-2.0
"""Run a command: what Airflow logs is left out, and an error is one line on stderr."""

from __future__ import annotations

import functools
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_provider_evolink.api.errors import ConnectionLostError, ConnectionNotFoundError, EvoLinkError, NotSentError
from airflow_provider_evolink.hooks.evolink import EvoLinkHook

DONE, FAILED, USAGE, NOT_DONE = 0, 1, 2, 3

Command = Callable[[Namespace], int]


def command(function: Command) -> Callable[[Namespace], None]:
    """Turn a function that returns an exit code into a command.

    :raises SystemExit: the exit code is not 0.
    """

    @functools.wraps(function)
    def run(args: Namespace) -> None:
        # As Airflow's own commands do: connections come from the metadata database, too.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        try:
            code = _run_quietly(function, args)
        except KeyboardInterrupt:
            code = 130
        except Exception as error:
            if args.verbose:
                raise
            complain(_describe(error))
            code = FAILED
        if code:
            raise SystemExit(code)

    return run


def complain(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"{' '.join(text.split())}\n")


def open_account(conn_id: str) -> EvoLinkHook:
    """Return the account of a connection, which is looked up here.

    :raises ConnectionNotFoundError: there is no such connection.
    """
    hook = EvoLinkHook(conn_id)
    try:
        _ = hook.settings
    except ConnectionNotFoundError:
        raise ConnectionNotFoundError(
            f"Connection {conn_id!r} was not found. Nothing was sent: create it, or name another with --conn-id."
        ) from None
    return hook


@contextmanager
def naming_account(hook: EvoLinkHook) -> Iterator[None]:
    """Name the connection and the host in the error of a request to EvoLink."""
    try:
        yield
    except (ConnectionLostError, NotSentError):
        raise  # they name both
    except EvoLinkError as error:
        error.args = (f"Connection {hook.evolink_conn_id!r} ({hook.settings.base_url}): {error}",)
        raise


def is_for_programs(output: str) -> bool:
    """Return whether a format has numbers, truth values and ``null``, and not only their texts."""
    return output in {"json", "yaml"}


def show(rows: Sequence[Mapping[str, Any]], output: str) -> None:
    """Print rows as Airflow's own commands do, except that JSON and YAML keep the types of values, lists too.

    :param output: ``table``, ``json``, ``yaml`` or ``plain``.
    """
    from airflow.cli.simple_table import AirflowConsole

    console = AirflowConsole()
    data: Any = [dict(row) for row in rows]
    if is_for_programs(output):
        # print_as would turn every value into text first.
        {"json": console.print_as_json, "yaml": console.print_as_yaml}[output](data)
    else:
        console.print_as(data=[{name: _cell(value) for name, value in row.items()} for row in data], output=output)


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _describe(error: Exception) -> str:
    """Return an error in a line; those of a database go on with the statement and its values."""
    text = str(error) if isinstance(error, EvoLinkError) else "".join(str(error).splitlines()[:1])
    return text or type(error).__name__


def _run_quietly(function: Command, args: Namespace) -> int:
    from airflow.utils.cli import suppress_logs_and_warning
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    codes: list[int] = []
    # Airflow's decorator drops what it wraps returns.
    suppress_logs_and_warning(providers_configuration_loaded(lambda given: codes.append(function(given))))(args)
    return codes[0]
