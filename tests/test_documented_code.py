# SPDX-License-Identifier: Apache-2.0
"""Every block of code in the documentation works: Python runs, DAGs run as jobs, commands and settings are read."""

from __future__ import annotations

import configparser
import csv
import importlib.util
import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow import sdk

from airflow_provider_evolink.emulator.cli import build_parser
from tests.documents import DOCUMENTS, ROOT, Block, blocks, name_of, run_code
from tests.marks import needs_provider_metadata

# Blocks of these languages hold no code: output, and drawings.
TEXT = {"text"}
# Sections of providers that the tests do without.
FOREIGN_SECTIONS = {"celery"}
# Options that the pages name with the version which has brought them.
SINCE_3_2 = {"core": {"multi_team"}, "triggerer": {"queues_enabled"}}
# Programs of others, whose arguments are not checked here; `make check-deploy` checks what Docker and Helm read.
FOREIGN = {".", "cp", "docker", "helm", "kubectl", "mkdir", "python3"}
# Commands that the pages name with the version which has brought them.
NEEDS_TEAMS = pytest.mark.skipif(
    not hasattr(sdk, "conf"), reason="Airflow has no teams and queues of triggers before 3.2"
)
NEEDS_TRIGGERERS_OF_TEAMS = pytest.mark.skipif(
    not hasattr(sdk, "RetryPolicy"), reason="Airflow has no triggerers of teams before 3.3"
)
LATER = {
    "airflow evolink ": needs_provider_metadata,
    "airflow teams ": NEEDS_TEAMS,
    "airflow triggerer --queues ": NEEDS_TEAMS,
    "airflow triggerer --team-name ": NEEDS_TRIGGERERS_OF_TEAMS,
}
COMMANDS = [
    pytest.param(block.page, command, marks=[mark for start, mark in LATER.items() if start in command])
    for block in blocks("bash", "console")
    for command in re.sub(r"\\\n\s*", "", block.text).splitlines()
    if block.language == "bash" or command.startswith("$ ")
]


def words(command: str) -> Iterator[list[str]]:
    """Yield the words of each program that a line starts."""
    lexer = shlex.shlex(command.removeprefix("$ "), posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    found: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("&|;"):
            if found:
                yield found
            found = []
        else:
            found.append(word)


def check_command(program: str, *arguments: str) -> None:
    """Fail if a program does not accept these arguments."""
    if program == "airflow":
        from airflow.cli.cli_parser import get_parser

        get_parser().parse_args(list(arguments))
    elif program == "make":
        targets = re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {each for each in arguments if "=" not in each} <= set(" ".join(targets).split())
    elif program == "python":
        check_module(*arguments)
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\[(\w+)\]", " ".join(arguments))) <= set(extras)
    elif program == "export":
        name, _, value = arguments[0].partition("=")
        assert json.loads(value) if name.startswith("AIRFLOW_CONN_") else value
    else:
        assert program in FOREIGN, f"{program} is not known"


def check_module(flag: str, module: str, *arguments: str) -> None:
    """Fail if Python has no such module, or the emulator no such options."""
    assert flag == "-m"
    assert importlib.util.find_spec(module)
    if module == "airflow_provider_evolink.emulator":
        build_parser().parse_args(arguments)


def json_values(text: str) -> Iterator[Any]:
    """Yield the values that follow each other in a text."""
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:]


def test_every_block_names_its_language() -> None:
    """No block goes unchecked: each names a language that is checked here, or is listed as text."""
    checked = {"python", "bash", "console", "ini", "json", "yaml", "csv"}

    assert [(name_of(block.page), block.text[:40]) for block in blocks() if block.language not in checked | TEXT] == []


@pytest.mark.parametrize("page", [page for page in DOCUMENTS if "```python" in page.read_text()], ids=name_of)
def test_python_runs(page: Path) -> None:
    """The Python code of a page runs as it stands, from top to bottom."""
    run_code(page)


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: str(value)[-40:])
def test_commands_exist(page: Path, command: str) -> None:
    """Each command names programs, sub-commands and options that exist."""
    for each in words(command):
        check_command(*each)


def test_the_check_of_commands_can_fail() -> None:
    """A sub-command, an option, a target, an extra and a module that don't exist are noticed."""
    wrong = (
        "airflow evolink pay",
        "airflow evolink credits --all",
        "python -m airflow_provider_evolink.emulator --fast 3",
    )
    for command in (*wrong, "make money", 'pip install "airflow-provider-evolink[ftp]"', "python -m evolink.nothing"):
        with pytest.raises((SystemExit, AssertionError, ModuleNotFoundError)):
            check_command(*next(words(command)))


@pytest.mark.parametrize("block", blocks("ini", "json", "yaml", "csv"), ids=lambda block: name_of(block.page))
def test_settings_and_data_are_read(block: Block) -> None:
    """Each block of settings or data is valid, and settings are those that this package or Airflow has."""
    if block.language == "ini":
        check_settings(block.text)
    elif block.language == "json":
        assert list(json_values(block.text))
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    else:
        lengths = {len(row) for row in csv.reader(io.StringIO(block.text))}
        assert len(lengths) == 1


def check_settings(text: str) -> None:
    """Fail if Airflow or one of its providers has no such option."""
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description(include_providers=True)
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser.sections()
    for section in set(parser.sections()) - FOREIGN_SECTIONS:
        missing = set(parser[section]) - set(known[section]["options"])
        assert missing <= (set() if hasattr(sdk, "conf") else SINCE_3_2.get(section, set()))
