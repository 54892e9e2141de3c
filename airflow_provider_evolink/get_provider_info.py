# SPDX-License-Identifier: Apache-2.0
"""Provider metadata. Every Airflow process imports this module, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_evolink import __version__

_NAME = "EvoLink"
_SECONDS = {"type": ["number", "null"], "minimum": 1, "maximum": 600}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-evolink",
        "name": _NAME,
        "description": "AI video, image and audio generation through EvoLink: paid for once, landed in your storage.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _NAME,
                "external-doc-url": "https://docs.evolink.ai/",
                "tags": ["service"],
            }
        ],
        "hooks": _modules("hooks"),
        "operators": _modules("operators", names=("evolink", "batch", "upload", "recover")),
        "sensors": _modules("sensors"),
        "triggers": _modules("triggers", names=("evolink", "batch", "sensor")),
        "task-decorators": [
            {"name": "evolink", "class-name": "airflow_provider_evolink.decorators.evolink.evolink_task"}
        ],
        "transfers": [
            {
                "source-integration-name": _NAME,
                "target-integration-name": "Object Storage",
                "python-module": "airflow_provider_evolink.transfers.evolink_to_object_storage",
            }
        ],
        "extra-links": [
            "airflow_provider_evolink.links.evolink.EvoLinkManifestLink",
            "airflow_provider_evolink.links.evolink.EvoLinkResultLink",
            "airflow_provider_evolink.links.evolink.EvoLinkWatchLink",
        ],
        "plugins": [{"name": "evolink", "plugin-class": "airflow_provider_evolink.ui.plugin.EvoLinkPlugin"}],
        "cli": ["airflow_provider_evolink.cli.definition.get_evolink_cli_commands"],
        "connection-types": [_connection_type()],
        "config": {"evolink": _config()},
    }


def _modules(kind: str, names: Sequence[str] = ("evolink",)) -> list[dict[str, Any]]:
    modules = [f"airflow_provider_evolink.{kind}.{name}" for name in names]
    return [{"integration-name": _NAME, "python-modules": modules}]


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "evolink",
        "hook-name": _NAME,
        "hook-class-name": "airflow_provider_evolink.hooks.evolink.EvoLinkHook",
        "ui-field-behaviour": {
            "hidden-fields": ["login", "schema"],
            "relabeling": {"host": "Base URL", "password": "API key"},
            "placeholders": {"host": "https://api.evolink.ai", "port": "443", "password": "sk-..."},
        },
        "conn-fields": {
            "timeout": {
                "label": "Read timeout (s)",
                "description": "Seconds to wait for EvoLink's response to a read, from 1 to 600. Default: 15.",
                "schema": {**_SECONDS, "default": 15},
            },
            "submit_timeout": {
                "label": "Submit timeout (s)",
                "description": "Seconds to wait for EvoLink's response to a submission, from 1 to 600. Default: 30.",
                "schema": {**_SECONDS, "default": 30},
            },
            "verify": {
                "label": "Verify TLS",
                "description": "true, false to accept any certificate, or the path of a CA bundle or of a folder of CA "
                "certificates. Default: true.",
                "schema": {"type": ["string", "null"]},
            },
            "proxy": {
                "label": "Proxy",
                "description": "http:// or https:// URL of a proxy for the API and for the hosts of results. "
                "Default: the environment's proxy settings.",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
        },
    }


def _config() -> dict[str, Any]:
    return {
        "description": "How tasks wait for EvoLink generations, how many credits they keep, where their ledger is, and "
        "what the UI shows.",
        "options": {
            "default_timeout": _number(
                "Seconds to wait for a generation when the task sets no timeout. Operators count from the submission, "
                "the sensor from the start of each try.",
                example="3600",
                default="1800",
            ),
            "poll_interval": _number(
                "Seconds between two polls of a generation when the task sets no poll_interval, at least 1. By default "
                "the interval adapts to EvoLink's estimate and to how long the model's earlier generations took.",
                example="10",
            ),
            "unreachable_timeout": _number(
                "Seconds for which every poll may fail before a task stops waiting. The generation itself continues at "
                "EvoLink.",
                example="1800",
                default="600",
            ),
            "min_credits_left": _number(
                "Credits that the account and the API key must have left before a new submission when the task sets no "
                "min_credits_left. By default any number. Reading them is free.",
                example="500",
            ),
            "ledger_path": {
                "description": "Folder that holds the ledger, which records what a task has paid for: a storage URI "
                "with its connection, or a folder that all workers share. It must refuse to overwrite: S3, Azure, "
                "Google, or a file system with hard links. By default Airflow's task state store holds the ledger.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "s3://conn_id@bucket/evolink",
                "default": "",
            },
            "gallery_roots": {
                "description": "Folders whose landed files Airflow's UI shows: storage URIs with their connection, "
                "separated by commas. Whoever may read a DAG's XComs sees its files below them. Empty: none is shown.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "s3://conn_id@bucket/videos, file:///data/videos",
                "default": "",
            },
            "gallery_tabs": {
                "description": "Whether runs and task instances have the tabs Gallery and Video, which Airflow 3.3 "
                "can't limit to the tasks of this package.",
                "version_added": "0.1.0",
                "type": "boolean",
                "example": "False",
                "default": "True",
            },
            "posters": {
                "description": "Whether a task that lands a video, an image or an audio file puts a small JPEG of it "
                "beside it, where PyAV is installed (extra posters).",
                "version_added": "0.1.0",
                "type": "boolean",
                "example": "False",
                "default": "True",
            },
        },
    }


def _number(description: str, *, example: str, default: str | None = None) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "float",
        "example": example,
        "default": default,
    }
