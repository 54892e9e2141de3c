# SPDX-License-Identifier: Apache-2.0
"""The public API's page, and the reference, list what users can rely on: all of it exists, and nothing is missing."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import attrs
import pytest

from airflow_provider_evolink.api import base_error, errors, input_errors
from airflow_provider_evolink.batch import errors as batch_errors
from airflow_provider_evolink.emulator import EmulatorHandle, pytest_plugin
from airflow_provider_evolink.emulator import __all__ as emulator_names
from airflow_provider_evolink.emulator.client import ControlClient
from airflow_provider_evolink.execution.announcement import origin_of
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET
from airflow_provider_evolink.execution.try_notes import ERROR_KEY, PROGRESS_KEY
from airflow_provider_evolink.get_provider_info import get_provider_info
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing import checkpoint
from airflow_provider_evolink.lineage.run import GenerationFacts, RunLineage
from airflow_provider_evolink.links.evolink import MANIFEST_LINK_KEY, RESULT_LINK_KEY
from airflow_provider_evolink.operators.base import GENERATION_ID_KEY
from airflow_provider_evolink.operators.openlineage import FACET, operator_lineage
from airflow_provider_evolink.polling.crowd import CrowdEnd
from airflow_provider_evolink.polling.events import batch_event_payload, event_payload
from airflow_provider_evolink.polling.policy import Outcome, StopPolling
from airflow_provider_evolink.recovery import errors as recovery_errors
from airflow_provider_evolink.recovery import memory
from airflow_provider_evolink.submission import record as ledger
from scripts import docs_tables

PACKAGE = "airflow_provider_evolink"
ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reference" / "public-api.md").read_text(encoding="utf-8")
INFO = get_provider_info()
# The modules of errors, each with the base class of its own ones, and the tables of the reference.
ERRORS: dict[ModuleType, type[errors.EvoLinkError]] = {
    errors: errors.EvoLinkError,
    batch_errors: errors.EvoLinkError,
    recovery_errors: recovery_errors.RecoveryFailedError,
}
ERROR_TABLES = {
    errors: "exceptions", batch_errors: "exceptions-of-a-batch", recovery_errors: "exceptions-of-a-recovery",
}  # fmt: skip


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
    listed = {f"{PACKAGE}.{name}" for name in NAMES}
    for module, base in ERRORS.items():
        listed |= {f"{module.__name__}.{cls.__name__}" for cls in error_classes(module, base)}

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


@pytest.mark.parametrize("module", ERRORS, ids=lambda module: module.__name__)
def test_every_error(module: ModuleType) -> None:
    """The reference lists every error class of a module, and says of each whether it is permanent."""
    table = docs_tables.TABLES[ERROR_TABLES[module]]()
    listed = dict(re.findall(r"^\| `(\w+)` \| `\w+` \| (yes|no) \|", table, re.MULTILINE))

    assert listed == {cls.__name__: "yes" if cls.permanent else "no" for cls in error_classes(module, ERRORS[module])}


def test_every_class_is_in_the_reference() -> None:
    """Each class and function of the page is described in the reference, by its docstring."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    described = set(re.findall(rf"^::: {PACKAGE}\.([\w.]+)$", pages, re.MULTILINE))
    types = {f"types.{name}" for name in re.findall(r"^## (\w+)$", docs_tables.records(), re.MULTILINE)}
    constants = {"emulator.DEFAULT_API_KEY"}
    methods = {name for name in NAMES if _is_method(name)}

    assert set(NAMES) - methods - constants <= described | types
    assert {name.rpartition(".")[0] for name in methods} <= described


def test_every_marker_is_filled() -> None:
    """Each generated table is on a page, and each page's tables are generated."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))

    assert sorted(re.findall(r"<!-- generated: ([\w-]+) -->", pages)) == sorted(docs_tables.TABLES)
    assert all("| --- |" in table() for table in docs_tables.TABLES.values())


def test_xcom() -> None:
    """The page lists the XCom keys."""
    of_results = {"return_value", GENERATION_ID_KEY, RESULT_LINK_KEY, MANIFEST_LINK_KEY}
    assert set(rows("XCom")) == {*of_results, PROGRESS_KEY, ERROR_KEY}


def test_asset_events() -> None:
    """The page lists what the extra of an asset event says besides the file's fields."""
    assert list(rows("Asset events")) == list(origin_of(model="m", credits_used=1.0, prompt="A lighthouse"))


def test_openlineage() -> None:
    """The page lists the fields of the run facet, and those of a generation in it."""
    run = RunLineage()
    run.add_generation(GenerationFacts("task-unified-1"))
    facet = operator_lineage(run).run_facets[FACET]

    assert f"`{FACET}`" in PAGE
    fields = {name for name in attrs.asdict(facet) if not name.startswith("_")}
    assert set(rows("OpenLineage")) == fields
    assert list(rows("OpenLineage", table=1)) == list(facet.generations[0])


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


def test_the_macros() -> None:
    """The page lists every macro."""
    plugin = resolve_name(INFO["plugins"][0]["plugin-class"])

    assert set(rows("Macros")) == {macro.__name__ for macro in plugin.macros}


def test_the_extras() -> None:
    """The page lists every extra of the package."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert set(rows("Extras")) == set(metadata["optional-dependencies"])


def test_the_pytest_plugin() -> None:
    """The page lists the plugin's fixture, its ini option and that option's default."""
    listed = rows("Testing")

    assert set(listed) == {pytest_plugin.evolink_emulator.__name__, pytest_plugin.CLOCK_OPTION}
    assert f"{pytest_plugin.DEFAULT_CLOCK} by default" in listed[pytest_plugin.CLOCK_OPTION]
