# SPDX-License-Identifier: Apache-2.0
"""Tests that docs/public-api.md lists what users can rely on: everything on it exists, and nothing is missing."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest

from airflow_provider_evolink.api import base_error, errors, input_errors
from airflow_provider_evolink.api.generation import Generation
from airflow_provider_evolink.batch import errors as batch_errors
from airflow_provider_evolink.batch import manifest
from airflow_provider_evolink.batch.entry import Problem, RowEntry, Status
from airflow_provider_evolink.emulator import EmulatorHandle, pytest_plugin
from airflow_provider_evolink.emulator import __all__ as emulator_names
from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.execution.landing_step import LANDED_FIELD
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET
from airflow_provider_evolink.get_provider_info import get_provider_info
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID, EvoLinkHook
from airflow_provider_evolink.landing import checkpoint
from airflow_provider_evolink.landing.checkpoint import Landed
from airflow_provider_evolink.links.evolink import MANIFEST_LINK_KEY, RESULT_LINK_KEY
from airflow_provider_evolink.operators.base import GENERATION_ID_KEY
from airflow_provider_evolink.polling.crowd import CrowdEnd
from airflow_provider_evolink.polling.events import batch_event_payload, event_payload
from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.recovery import errors as recovery_errors
from airflow_provider_evolink.recovery import memory
from airflow_provider_evolink.result import Origin, build_record
from airflow_provider_evolink.submission import record as ledger

PACKAGE = "airflow_provider_evolink"
ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "public-api.md").read_text(encoding="utf-8")
INFO = get_provider_info()


def rows(heading: str, *, table: int = 0) -> dict[str, str]:
    """Return a table of the page: the name and the description in each row."""
    [section] = re.findall(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\|.*\|\n(?:\|.*\|\n?)+", section, re.MULTILINE)[table].splitlines()[2:]
    cells = [line.strip("|").split("|") for line in lines]
    return {name.strip().strip("`"): description.strip() for name, description in cells}


NAMES = rows("Imports")


def _is_method(name: str) -> bool:
    return name.rpartition(".")[0].rpartition(".")[2][:1].isupper()


def public_methods(cls: type) -> set[str]:
    """Return the methods that a class of this package, or its base in this package, defines for its users."""
    own = [base for base in cls.__mro__ if base.__module__.startswith(PACKAGE)]
    return {name for base in own for name, value in vars(base).items() if callable(value) and not name.startswith("_")}


def error_classes(
    module: ModuleType = errors, base: type[errors.EvoLinkError] = errors.EvoLinkError
) -> set[type[errors.EvoLinkError]]:
    """Return every error class of a module, or that it re-exports."""
    found = {base}.union(*(error_classes(module, cls) for cls in base.__subclasses__()))
    parts = {module.__name__, base_error.__name__, input_errors.__name__} if module is errors else {module.__name__}
    return {cls for cls in found if cls.__module__ in parts}


def classes_of(module: str) -> set[str]:
    """Return the classes that users import from a module: those that it defines or re-exports."""
    values = vars(import_module(module))
    names = {name for name, value in values.items() if getattr(value, "__module__", "") == module}
    names |= set(values.get("__all__", ()))
    return {f"{module}.{name}" for name in names if isinstance(values[name], type) and not name.startswith("_")}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_imports(name: str) -> None:
    """Every name imports from where the page says, and has a description."""
    assert resolve_name(f"{PACKAGE}.{name}") is not None
    assert NAMES[name]


def test_what_a_dag_author_imports() -> None:
    """The typed example DAG imports just what is on the page: no name is missing there, and none goes untyped."""
    tree = ast.parse((ROOT / "tests" / "typing" / "dag_author.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    listed = {f"{PACKAGE}.{name}" for name in NAMES} | {f"{errors.__name__}.{name}" for name in rows("Errors")}
    listed |= {f"{batch_errors.__name__}.{name}" for name in rows("Errors of a batch")}
    listed |= {f"{recovery_errors.__name__}.{name}" for name in rows("Errors of a recovery")}

    classes_and_functions = {
        f"{PACKAGE}.{name}" for name in NAMES if not name.startswith("emulator.") and not _is_method(name)
    }
    assert {name for name in imported if name.startswith(PACKAGE)} <= listed
    assert classes_and_functions <= imported


def test_the_providers_classes() -> None:
    """Every class in the modules that the provider metadata lists is on the page, and its links and hooks are."""
    lists = [INFO[kind] for kind in ("hooks", "operators", "sensors", "triggers")]
    modules = {module for entries in lists for entry in entries for module in entry["python-modules"]}
    modules |= {entry["python-module"] for entry in INFO["transfers"]}
    classes = set().union(*map(classes_of, modules))
    classes |= {*INFO["extra-links"], *(entry["hook-class-name"] for entry in INFO["connection-types"])}

    assert {name.removeprefix(f"{PACKAGE}.") for name in classes} <= set(NAMES)


@pytest.mark.parametrize(
    ("cls", "prefix"),
    [(EvoLinkHook, "hooks.evolink.EvoLinkHook."), (ControlClient, "emulator.client.ControlClient.")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_method(cls: type, prefix: str) -> None:
    """The page lists every method of the hook and of the emulator's control client."""
    assert {name.removeprefix(prefix) for name in NAMES if name.startswith(prefix)} == public_methods(cls) - {"close"}


def test_the_emulators_names() -> None:
    """The page lists every name that the emulator exports, and every attribute of its handle."""
    assert {f"emulator.{name}" for name in emulator_names} <= set(NAMES)
    attributes = {*EmulatorHandle.__annotations__, "airflow_connection"}
    assert set(re.findall(r"`(\w+)`", NAMES["emulator.EmulatorHandle"])) - {"running"} == attributes


@pytest.mark.parametrize(
    ("heading", "module"),
    [("Errors", errors), ("Errors of a batch", batch_errors), ("Errors of a recovery", recovery_errors)],
)
def test_every_error(heading: str, module: ModuleType) -> None:
    """The page lists every error class, and says of each whether it is permanent."""
    base = errors.EvoLinkError if module is not recovery_errors else recovery_errors.RecoveryFailedError
    listed, classes = rows(heading), error_classes(module, base)

    assert set(listed) == {cls.__name__ for cls in classes}
    permanent = {name for name, description in listed.items() if description.endswith("Permanent")}
    assert permanent == {cls.__name__ for cls in classes if cls.permanent}


def test_the_connection() -> None:
    """The page lists the connection's type, default id and extras."""
    [connection] = INFO["connection-types"]

    assert set(rows("Connection")) == set(connection["conn-fields"])
    assert f"Type `{connection['connection-type']}`, id `{DEFAULT_CONN_ID}`" in PAGE


def test_the_configuration() -> None:
    """The page lists every section and option of the configuration."""
    [(section, described)] = INFO["config"].items()

    assert f"`[{section}]`" in PAGE
    assert set(rows("Configuration")) == set(described["options"])


def test_xcom() -> None:
    """The page lists the XCom keys, the fields of a record and those of a landed file."""
    generation = Generation("task-unified-1", "completed", links=("a", "b"), roles=("result", "cover"))
    fields = build_record(generation, Origin(0.0, replay="confirmed"), now=0.0)
    entry = Landed("file:///a", 1, "", "video/mp4", "task-unified-1", "mp4").entry()

    assert set(rows("XCom")) == {"return_value", GENERATION_ID_KEY, RESULT_LINK_KEY, MANIFEST_LINK_KEY}
    assert set(rows("Record")) == {*fields, LANDED_FIELD}
    assert set(re.findall(r"`(\w+)`", rows("Record")["usage"])) == set(fields["usage"])
    assert list(rows("Landed files")) == list(entry)


def test_the_result_of_a_batch() -> None:
    """The page lists the fields of a batch's summary, those of a manifest's line, and the final statuses of a row."""
    problem = Problem(Status.FAILED, "It failed.", "service_error", False, 1)
    line = manifest.manifest_line("A1", RowEntry("A1"), problem, Status.FAILED)

    assert list(rows("Summary of a batch")) == list(manifest.Outcome().summary("file:///manifest.jsonl"))
    assert list(rows("Manifest")) == list(line)
    assert set(re.findall(r"`(\w+)`", rows("Manifest")["error"])) - {"null"} == set(line["error"])
    assert set(re.findall(r"`(\w+)`", rows("Manifest")["status"])) == set(Status) - {Status.UNDER_WAY}


def test_the_triggers_event() -> None:
    """The page lists the fields of the trigger's event and every outcome."""
    event = event_payload(StopPolling(Outcome.TERMINAL), "task-unified-1")

    assert list(rows("Trigger event")) == list(event)
    assert list(rows("Trigger event", table=1)) == [outcome.value for outcome in Outcome]


def test_the_batch_triggers_event() -> None:
    """The page lists the fields of the batch trigger's event."""
    assert list(rows("Batch trigger event")) == list(batch_event_payload(CrowdEnd(0, 0, Outcome.TERMINAL)))


def test_the_state_stores() -> None:
    """The page lists the store keys and the asset that the provider uses."""
    assert set(rows("State stores")) == {ledger.STORE_KEY, checkpoint.STORE_KEY, LEDGER_ASSET.name, memory.STORE_KEY}


def test_the_commands() -> None:
    """The page lists every command."""
    [group] = resolve_name(INFO["cli"][0])()

    assert set(rows("Commands")) == {command.name for command in group.subcommands}


def test_the_pytest_plugin() -> None:
    """The page lists the plugin's fixture, its ini option and that option's default."""
    listed = rows("Testing")

    assert set(listed) == {pytest_plugin.evolink_emulator.__name__, pytest_plugin.CLOCK_OPTION}
    assert f"{pytest_plugin.DEFAULT_CLOCK} by default" in listed[pytest_plugin.CLOCK_OPTION]
