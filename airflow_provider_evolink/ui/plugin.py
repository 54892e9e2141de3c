# SPDX-License-Identifier: Apache-2.0
"""The plugin that adds tabs and macros to Airflow. Every Airflow process imports this module, so it imports little."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow_provider_evolink.compat import AirflowPlugin, conf
from airflow_provider_evolink.links.addresses import GALLERY_TAB, MOUNT, VIDEO_TAB
from airflow_provider_evolink.ui import failure_listener
from airflow_provider_evolink.ui.macros import poster, watch

_Message = MutableMapping[str, Any]
_App = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]

# Airflow's UI fills in the names in braces. It has none for the map index of a task that is not mapped, and then leaves
# the braces as they are.
_OF_RUN = f"{MOUNT}/dags/{{DAG_ID}}/gallery?run_id={{RUN_ID}}"
_OF_TASK = f"{MOUNT}/dags/{{DAG_ID}}/video?run_id={{RUN_ID}}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}"


class LazyApp:
    """The ASGI app behind the tabs, built at the first request.

    Importing FastAPI takes seconds, and only the api-server needs it. Airflow passes lifespan events to instances of
    FastAPI only, so this app gets none.
    """

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Pass a request on."""
        await _app()(scope, receive, send)


@functools.cache
def _app() -> _App:
    from airflow_provider_evolink.ui.app import create_app

    app: _App = create_app()
    return app


class EvoLinkPlugin(AirflowPlugin):
    """Tabs that show landed files in Airflow's UI, with all that belongs to them.

    The app serves the files, macros write texts that link to them, and a listener keeps why a task has failed.

    ``[evolink] gallery_tabs`` switches the tabs off. Airflow 3.3 shows a tab on every task and run, whatever made it.
    """

    name = "evolink"
    macros = [poster, watch]  # noqa: RUF012 - as Airflow's class has it
    fastapi_apps = [{"app": LazyApp(), "url_prefix": f"/{MOUNT}", "name": "EvoLink"}]  # noqa: RUF012
    external_views: list[dict[str, str]] = []  # noqa: RUF012
    listeners = [failure_listener]  # noqa: RUF012

    @classmethod
    def on_load(cls, *_args: Any, **_kwargs: Any) -> None:
        """Read the configuration, which Airflow has loaded by now."""
        shows_tabs = conf.getboolean("evolink", "gallery_tabs", fallback=True)
        cls.external_views = _tabs() if shows_tabs else []


def _tabs() -> list[dict[str, str]]:
    return [
        {"name": "Video", "destination": "task_instance", "url_route": VIDEO_TAB, "href": _OF_TASK},
        {"name": "Gallery", "destination": "dag_run", "url_route": GALLERY_TAB, "href": _OF_RUN},
    ]
