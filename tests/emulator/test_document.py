# SPDX-License-Identifier: Apache-2.0
"""The documentation of the emulator lists what there is, and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from airflow_provider_evolink.emulator import pytest_plugin
from airflow_provider_evolink.emulator.faults.kinds import ENDPOINTS, FAULT_KINDS
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY
from scripts import docs_tables

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "emulator.md").read_text(encoding="utf-8")
TESTING = (DOCS / "how-to" / "testing.md").read_text(encoding="utf-8")


def table(first_heading: str, page: str = PAGE) -> dict[str, list[str]]:
    """Return the rows of the table whose first column has a heading, by the code in their first cells."""
    lines = page[page.index(f"| {first_heading} |") :].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in re.split(r"(?<=\s)\||\|(?=\s)", line)[1:-1]] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def code_in(cell: str) -> list[str]:
    """Return the parts of a cell that are in code style."""
    return re.findall(r"`([^`]+)`", cell)


def test_faults() -> None:
    """Every fault is in the generated table, with the endpoints that it fires on, its options and what it does."""
    listed = docs_tables.faults()

    for name, kind in FAULT_KINDS.items():
        [line] = re.findall(rf"^\| `{name}` \|.*", listed, re.MULTILINE)
        assert kind.effect in line
        assert all(f"`{option}={default!r}`" in line for option, default in kind.options.items())
        assert all(f"`{on}`" in line for on in kind.endpoints) or "| all" in line


def test_endpoints() -> None:
    """Every endpoint is named before the faults."""
    sentence = PAGE[PAGE.index("Endpoints: ") :].partition(".")[0]
    assert set(code_in(sentence)) == ENDPOINTS


def test_fixture() -> None:
    """Every attribute of the fixture, every ini option and the API key are named."""
    public = {field.name for field in fields(EmulatorHandle)} | {"airflow_connection"}
    assert table("attribute of the fixture", TESTING).keys() == public
    names = {value for name, value in vars(pytest_plugin).items() if name.endswith("_OPTION")}
    assert table("ini option of pytest", TESTING).keys() == names
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
