# SPDX-License-Identifier: Apache-2.0
"""Tests of the provider metadata, and of what Airflow makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import conf
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, task
from airflow.triggers.base import BaseTrigger

from airflow_provider_evolink import __version__
from airflow_provider_evolink.decorators.evolink import evolink_task
from airflow_provider_evolink.get_provider_info import get_provider_info
from airflow_provider_evolink.links.evolink import EvoLinkManifestLink, EvoLinkResultLink, EvoLinkWatchLink
from tests.marks import needs_provider_metadata

INFO = get_provider_info()
[CONNECTION] = INFO["connection-types"]


def attribute(path: str) -> Any:
    """Import the object that a dotted path names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def test_the_metadata_is_valid() -> None:
    """The metadata matches Airflow's schema for providers, and is plain JSON."""
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())

    jsonschema.validate(INFO, schema)
    assert json.loads(json.dumps(INFO)) == INFO


def test_the_metadata_is_the_distributions() -> None:
    """Name and version are those of the installed distribution, whose entry point returns this metadata."""
    installed = distribution("airflow-provider-evolink")
    [entry] = installed.entry_points.select(group="apache_airflow_provider")

    assert (INFO["package-name"], INFO["versions"]) == (installed.metadata["Name"], [__version__])
    assert entry.load()() == INFO


@pytest.mark.parametrize(
    ("kind", "base", "names"),
    [
        ("hooks", BaseHook, {"EvoLinkHook"}),
        ("operators", BaseOperator, {"EvoLinkGenerateOperator", "EvoLinkBatchOperator", "EvoLinkRecoverOperator"}),
        ("sensors", BaseSensorOperator, {"EvoLinkGenerationSensor"}),
        ("triggers", BaseTrigger, {"EvoLinkGenerationTrigger", "EvoLinkBatchTrigger", "EvoLinkSensorTrigger"}),
    ],
)
def test_modules(kind: str, base: type, names: set[str]) -> None:
    """Every listed module exists and holds the classes of its kind."""
    [entry] = INFO[kind]
    own = {
        name: value
        for path in entry["python-modules"]
        for name, value in vars(import_module(path)).items()
        if isinstance(value, type)
    }

    assert names <= set(own)
    assert all(issubclass(own[name], base) for name in names)
    assert entry["integration-name"] in {integration["integration-name"] for integration in INFO["integrations"]}


def test_the_transfer() -> None:
    """The transfer's module exists and holds its operator."""
    [entry] = INFO["transfers"]

    assert issubclass(attribute(f"{entry['python-module']}.EvoLinkToObjectStorageOperator"), BaseOperator)


def test_the_task_decorator() -> None:
    """``@task.evolink`` is the decorator that the metadata names."""
    [entry] = INFO["task-decorators"]

    assert task.evolink is getattr(task, entry["name"]) is attribute(entry["class-name"]) is evolink_task


@needs_provider_metadata
def test_the_commands() -> None:
    """Airflow's parser has the commands of the function that the metadata names, each with a function that exists."""
    from airflow.cli.cli_parser import get_parser
    from airflow.providers_manager import ProvidersManager

    [function] = map(attribute, INFO["cli"])
    [group] = function()

    assert function in ProvidersManager().cli_command_functions
    for command, arguments in (
        ("models", []), ("credits", []), ("collect", ["x", "--to", "/x"]), ("forget", ["dag", "task"]),
    ):  # fmt: skip
        args = get_parser().parse_args([group.name, command, *arguments])
        module = import_module(f"airflow_provider_evolink.cli.{command}")
        assert callable(getattr(module, args.func.__name__))


def test_the_links() -> None:
    """The extra links are those that the operators and the sensor have."""
    operators = ("evolink.EvoLinkGenerateOperator", "batch.EvoLinkBatchOperator", "recover.EvoLinkRecoverOperator")
    owners = [
        *(f"operators.{name}" for name in operators),
        "sensors.evolink.EvoLinkGenerationSensor",
        "transfers.evolink_to_object_storage.EvoLinkToObjectStorageOperator",
    ]
    links = {
        type(link) for name in owners for link in attribute(f"airflow_provider_evolink.{name}").operator_extra_links
    }

    assert {attribute(path) for path in INFO["extra-links"]} == links
    assert links == {EvoLinkManifestLink, EvoLinkResultLink, EvoLinkWatchLink}


def test_the_connection_type_is_the_hooks() -> None:
    """The connection type in the metadata agrees with the hook's class."""
    hook = attribute(CONNECTION["hook-class-name"])

    assert (hook.conn_type, hook.hook_name) == (CONNECTION["connection-type"], CONNECTION["hook-name"])
    assert (hook.conn_name_attr, hook.default_conn_name) == ("evolink_conn_id", "evolink_default")
    assert getattr(hook(), hook.conn_name_attr) == hook.default_conn_name
    assert callable(hook.test_connection)


def test_the_form_has_every_extra() -> None:
    """The form has exactly the extras that are read, with their real defaults."""
    from airflow_provider_evolink.api.settings import Settings, read_settings

    fields = CONNECTION["conn-fields"]
    defaults = {name: field["schema"]["default"] for name, field in fields.items() if "default" in field["schema"]}
    extras = {"timeout": 20, "submit_timeout": 25, "verify": "/ca.pem", "proxy": "http://proxy"}
    read = read_settings("x", host=None, schema=None, port=None, password="sk-x", extra=extras)

    assert set(fields) == set(extras)
    assert {name: getattr(read, name) for name in fields} == extras
    assert {name: getattr(Settings(), name) for name in defaults} == defaults


@needs_provider_metadata
@pytest.mark.parametrize("option", INFO["config"]["evolink"]["options"])
def test_config(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow returns every option with its default, and the environment can set it."""
    metadata = INFO["config"]["evolink"]["options"][option]
    default = metadata["default"]
    monkeypatch.delenv(f"AIRFLOW__EVOLINK__{option.upper()}", raising=False)

    assert conf.get("evolink", option, fallback=None) == default
    read, parse = {
        "float": (conf.getfloat, float),
        "boolean": (conf.getboolean, lambda text: text.lower() == "true"),
        "string": (conf.get, str),
    }[metadata["type"]]
    if default is not None:
        assert read("evolink", option) == parse(default)
    monkeypatch.setenv(f"AIRFLOW__EVOLINK__{option.upper()}", metadata["example"])
    assert read("evolink", option) == parse(metadata["example"])


def test_truth_values_are_spelled_alike() -> None:
    """Every option that is a truth value has the spelling of Airflow's own, in its default and in its example."""
    options = INFO["config"]["evolink"]["options"].values()
    spelled = {option[name] for option in options if option["type"] == "boolean" for name in ("default", "example")}
    assert spelled == {"True", "False"}


def test_the_config_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators use the options, and a task's own arguments take precedence."""
    import time

    from airflow_provider_evolink.execution.pending import PendingGeneration
    from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
    from airflow_provider_evolink.result import Origin

    monkeypatch.setenv("AIRFLOW__EVOLINK__DEFAULT_TIMEOUT", "77")
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "88")
    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "9")
    now = time.time()

    def watch(**kwargs: Any) -> Any:
        task = EvoLinkGenerateOperator(task_id="task", model="x", parameters={}, **kwargs)
        return task._watch(PendingGeneration("task-unified-1", Origin(now)))

    assert (watch().deadline, watch().unreachable_timeout, watch().poll_interval) == (now + 77, 88, 9)
    own = watch(timeout=10, poll_interval=2)
    assert (own.deadline, own.poll_interval) == (now + 10, 2)


@needs_provider_metadata
@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # Airflow 3.2 asks for it itself
def test_the_form_as_airflow_shows_it() -> None:
    """Airflow's form has base URL, API key and the four extras, with the proxy hidden like a password."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    [form] = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "evolink"]
    shown = form.model_dump()
    standard, extra = shown["standard_fields"], shown["extra_fields"]

    assert {name for name, field in standard.items() if field and field["hidden"]} == {"login", "url_schema"}
    assert (standard["host"]["title"], standard["password"]["title"]) == ("Base URL", "API key")
    assert {name: field["value"] for name, field in extra.items()} == {
        "timeout": 15,
        "submit_timeout": 30,
        "verify": None,
        "proxy": None,
    }
    assert extra["proxy"]["schema"]["format"] == "password"
    assert all(field["description"] and field["schema"]["title"] for field in extra.values())


def test_airflows_commands(tmp_path: Path) -> None:
    """``airflow providers list``, ``hooks`` and ``links`` show the provider."""
    # All at once, since each takes seconds.
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "COLUMNS": "400"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "airflow", "providers", command, "--output", "json"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for command in ("list", "hooks", "links")
    ]
    providers, hooks, links = (json.loads(process.communicate(timeout=150)[0].splitlines()[-1]) for process in running)

    name = INFO["package-name"]
    assert [row["version"] for row in providers if row["package_name"] == name] == [__version__]
    assert [row for row in hooks if row["package_name"] == name] == [
        {
            "connection_type": "evolink",
            "class": CONNECTION["hook-class-name"],
            "conn_id_attribute_name": "evolink_conn_id",
            "package_name": name,
            "hook_name": "EvoLink",
        }
    ]
    assert INFO["extra-links"][0] in {row["extra_link_class_name"] for row in links}
