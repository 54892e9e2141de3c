# SPDX-License-Identifier: Apache-2.0
"""What Airflow's SDK provides to every process: configuration, plugins, metrics, masking, the lineage of hooks."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow import sdk

if TYPE_CHECKING or hasattr(sdk, "conf"):
    from airflow.sdk import conf
    from airflow.sdk.plugins_manager import AirflowPlugin
else:  # before 3.2
    from airflow.configuration import conf
    from airflow.plugins_manager import AirflowPlugin

__all__ = ["AirflowPlugin", "conf", "has_lineage_readers", "hook_lineage_collector", "metrics_sender", "redact"]


def metrics_sender() -> Any:
    """Return what has ``incr`` and ``timing``, which send metrics as ``[metrics]`` configures them."""
    try:
        from airflow.sdk.observability import stats
    except ImportError:  # before 3.2
        from airflow import stats  # type: ignore[no-redef]

    # Before 3.3 its functions are methods of a class.
    return stats if hasattr(stats, "incr") else stats.Stats


def hook_lineage_collector() -> Any | None:
    """Return the collector of what hooks have read and written; ``None`` if no plugin reads it."""
    if not has_lineage_readers():
        return None
    module = "airflow.sdk.lineage" if find_spec("airflow.sdk.lineage") else "airflow.lineage.hook"  # before 3.2
    return import_module(module).get_hook_lineage_collector()


def has_lineage_readers() -> bool:
    """Return whether a plugin reads what hooks have read and written.

    If none does, Airflow's collector keeps nothing, but imports whatever names the assets of each installed provider,
    boto3 among it (Airflow 3.3.2). So it is left alone then.
    """
    try:
        from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins
    except ImportError:  # before 3.2
        plugins_manager: Any = import_module("airflow.plugins_manager")
        plugins_manager.initialize_hook_lineage_readers_plugins()
        return bool(plugins_manager.hook_lineage_reader_classes)
    return bool(get_hook_lineage_readers_plugins())


def redact(text: str) -> str:
    """Replace in a text what Airflow masks in logs, such as the passwords of connections that this process has read."""
    from airflow.sdk._shared.secrets_masker import redact as airflows

    return str(airflows(text))
