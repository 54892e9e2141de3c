# SPDX-License-Identifier: Apache-2.0
"""Runs commands as Airflow does: its parser, its database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.marks import needs_provider_metadata


@dataclass(frozen=True)
class Ran:
    """What a command has printed, and its exit code."""

    code: Any
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``airflow evolink`` with arguments."""
    if needs_provider_metadata.args[0]:
        pytest.skip(needs_provider_metadata.kwargs["reason"])
    # Restored after the test: the commands set it.
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    from airflow.cli.cli_parser import get_parser

    def run(*arguments: str) -> Ran:
        code: Any = 0
        capsys.readouterr()
        try:
            args = get_parser().parse_args(["evolink", *arguments])
            args.func(args)
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


@pytest.fixture
def database() -> None:
    """Airflow's database, fresh or as another test has left it."""
    from airflow.utils.db import initdb

    initdb()
