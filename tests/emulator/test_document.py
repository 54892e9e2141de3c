# SPDX-License-Identifier: Apache-2.0
"""The emulator's page in the documentation lists what there is, and nothing else."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from airflow_provider_evolink.emulator import cli, pytest_plugin
from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.emulator.faults.kinds import ENDPOINTS, FAULT_KINDS
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY
from airflow_provider_evolink.emulator.state.variants import Variants

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def table(first_heading: str) -> dict[str, list[str]]:
    """Return the rows of the table whose first column has a heading, by the code in their first cells."""
    lines = PAGE[PAGE.index(f"| {first_heading} |") :].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in re.split(r"(?<=\s)\||\|(?=\s)", line)[1:-1]] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def code_in(cell: str) -> list[str]:
    """Return the parts of a cell that are in code style."""
    return re.findall(r"`([^`]+)`", cell)


def test_faults() -> None:
    """Every fault is described, with the endpoints that it fires on and its options with their defaults."""
    described = table("fault")
    assert described.keys() == FAULT_KINDS.keys()
    for name, (endpoints, options, effect) in described.items():
        kind = FAULT_KINDS[name]
        excluded = code_in(endpoints) if endpoints.startswith("all") else ENDPOINTS - set(code_in(endpoints))
        assert ENDPOINTS - set(excluded) == kind.endpoints, name
        assert code_in(options) == [f"{option}={default!r}" for option, default in kind.options.items()], name
        assert effect, name


def test_endpoints() -> None:
    """Every endpoint is named before the faults."""
    sentence = PAGE[PAGE.index("Endpoints: ") :].partition(".")[0]
    assert set(code_in(sentence)) == ENDPOINTS


def test_control_client() -> None:
    """Every method of the control client is described, with its parameters."""
    described = {name.partition("(")[0]: name.partition("(")[2].rstrip(")") for name in table("method")}
    methods = {name: method for name, method in vars(ControlClient).items() if not name.startswith("_")}
    assert described.keys() == methods.keys()
    for name, method in methods.items():
        parameters = [str(parameter).partition(":")[0] for parameter in inspect.signature(method).parameters.values()]
        assert described[name] == ", ".join(parameters[1:]), name


def test_variants() -> None:
    """Every variant is described, with its default."""
    assert {name: code_in(row[0])[0] for name, row in table("variant").items()} == {
        name: repr(default) for name, default in asdict(Variants()).items()
    }


def test_options_of_the_command_line() -> None:
    """Every option of the command line is described."""
    known = {option for action in cli._parser()._actions for option in action.option_strings}
    assert table("option").keys() == known - {"-h", "--help"}


def test_fixture() -> None:
    """Every attribute of the fixture, every ini option and the API key are named."""
    public = {field.name for field in fields(EmulatorHandle)} | {"airflow_connection"}
    assert table("attribute of the fixture").keys() == public
    names = {value for name, value in vars(pytest_plugin).items() if name.endswith("_OPTION")}
    assert table("ini option of pytest").keys() == names
    assert DEFAULT_API_KEY in PAGE


def test_state(api) -> None:
    """Every key of the state is described, with the keys of what it contains."""
    api.submit(callback_url="https://example.com/done")
    api.finish()
    api.http.post("/api/v1/files/upload/url", json={"file_url": "https://example.com/a.png"})
    api.control.inject("server_error")
    state = api.control.state()
    described = table("key")
    assert described.keys() == state.keys()
    for name, (content,) in described.items():
        assert keys_in(state[name]) <= set(code_in(content)), name


def keys_in(value: Any) -> set[str]:
    """Return the keys of an object, or of the objects in a list."""
    if isinstance(value, dict):
        return set(value)
    return set(value[0]) if isinstance(value, list) else set()
