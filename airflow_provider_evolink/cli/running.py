# SPDX-License-Identifier: Apache-2.0
"""Run a command: what Airflow logs is left out, and an error is one line on stderr."""

from __future__ import annotations

import functools
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_evolink.api.errors import EvoLinkError

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


def show(rows: Sequence[Mapping[str, Any]], output: str) -> None:
    """Print rows as Airflow's own commands do.

    :param output: ``table``, ``json``, ``yaml`` or ``plain``.
    """
    from airflow.cli.simple_table import AirflowConsole

    AirflowConsole().print_as(data=[dict(row) for row in rows], output=output)


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
