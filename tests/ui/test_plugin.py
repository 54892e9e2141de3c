# SPDX-License-Identifier: Apache-2.0
"""Tests of the plugin as Airflow loads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_evolink.get_provider_info import get_provider_info
from airflow_provider_evolink.links import addresses
from airflow_provider_evolink.ui.plugin import EvoLinkPlugin

# Loads the plugins as every Airflow process does, and reports what that has imported of ours and of the web server's.
PROBE = """
import json, sys
import airflow.sdk, airflow.plugins_manager
before = set(sys.modules)
import airflow_provider_evolink.ui.plugin
new = sorted(set(sys.modules) - before)
from airflow import plugins_manager
if hasattr(plugins_manager, "_get_plugins"):
    found, errors = plugins_manager._get_plugins()[0], plugins_manager.get_import_errors()
else:  # before 3.2
    plugins_manager.ensure_plugins_loaded()
    found, errors = plugins_manager.plugins, plugins_manager.import_errors
plugins = [plugin for plugin in found if plugin.name == "evolink"]
views = [(view["name"], view["destination"]) for plugin in plugins for view in plugin.external_views]
print(json.dumps([new, views, len(plugins), errors]))
"""


def load(**settings: str) -> list[Any]:
    """Load the plugins in a new process."""
    environment = {**os.environ, **settings}
    output = subprocess.run(
        [sys.executable, "-P", "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    loaded: list[Any] = json.loads(output.stdout.splitlines()[-1])
    return loaded


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[EvoLinkPlugin]]:
    """The plugin's class, with the tabs that it had before."""
    before = EvoLinkPlugin.external_views
    yield EvoLinkPlugin
    EvoLinkPlugin.external_views = before


def test_airflow_finds_the_plugin() -> None:
    """The entry point and the metadata name the class, which Airflow accepts."""
    [entry_point] = [found for found in metadata.entry_points(group="airflow.plugins") if found.name == "evolink"]
    [listed] = get_provider_info()["plugins"]

    assert entry_point.load() is EvoLinkPlugin
    assert listed == {"name": EvoLinkPlugin.name, "plugin-class": entry_point.value.replace(":", ".")}
    assert issubclass(EvoLinkPlugin, AirflowPlugin)
    EvoLinkPlugin.validate()


def test_loading_is_light() -> None:
    """A process that loads the plugin gets both tabs, and imports of this package little that it has not."""
    new, views, count, errors = load()

    assert (views, count, errors) == ([["Video", "task_instance"], ["Gallery", "dag_run"]], 1, {})
    names = (".links", ".links.addresses", ".links.landed", ".ui", ".ui.failure_listener", ".ui.macros", ".ui.plugin")
    ours = [name for name in new if name.startswith("airflow_provider_evolink.")]
    assert [name for name in ours if ".compat" not in name] == [f"airflow_provider_evolink{name}" for name in names]
    assert not {"fastapi", "sqlalchemy", "jsonschema"} & set(new)


def test_the_tabs_can_be_switched_off() -> None:
    """``[evolink] gallery_tabs`` removes the tabs, and nothing else."""
    _, views, count, errors = load(AIRFLOW__EVOLINK__GALLERY_TABS="False")

    assert (views, count, errors) == ([], 1, {})


def test_the_tabs_lead_to_the_pages(plugin: type[EvoLinkPlugin]) -> None:
    """With its placeholders filled in as Airflow's UI does, each tab's address is that of its page."""
    plugin.on_load()
    ids = {"{DAG_ID}": "shop", "{RUN_ID}": "r%2B1", "{TASK_ID}": "land", "{MAP_INDEX}": "3"}

    def filled(view: dict[str, str]) -> str:
        address = view["href"]
        for placeholder, value in ids.items():
            address = address.replace(placeholder, value)
        return address

    video, gallery = plugin.external_views
    assert filled(video) == addresses.video_page("shop", "r+1", "land", 3)
    assert filled(gallery) == addresses.gallery_page("shop", "r+1")
    assert addresses.video_tab("shop", "r", "land").endswith(f"/plugin/{video['url_route']}")
    assert addresses.gallery_tab("shop", "r").endswith(f"/plugin/{gallery['url_route']}")


async def test_the_app_is_built_at_the_first_request() -> None:
    """Airflow mounts what the plugin offers, and the first request gets an answer of the app behind it."""
    from airflow.api_fastapi.app import init_plugins
    from fastapi import FastAPI

    server = FastAPI()
    init_plugins(server)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://airflow") as client:
        assert (await client.post("/evolink/static/gallery.js")).status_code == 405
        assert (await client.post("/elsewhere/static/gallery.js")).status_code == 404


def test_macros_in_a_template() -> None:
    """Templates call the macros under the plugin's name."""
    from airflow.sdk.execution_time import macros

    manager = "airflow.sdk.plugins_manager" if find_spec("airflow.sdk.plugins_manager") else "airflow.plugins_manager"
    import_module(manager).integrate_macros_plugins()

    assert {name for name in vars(macros.evolink) if not name.startswith("_")} == {"poster", "watch"}
