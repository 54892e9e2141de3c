# SPDX-License-Identifier: Apache-2.0
"""What Airflow is told about this package. Every Airflow process runs it, so it imports nothing heavy."""

from __future__ import annotations

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
        "operators": _modules("operators"),
        "sensors": _modules("sensors"),
        "triggers": _modules("triggers"),
        "transfers": [
            {
                "source-integration-name": _NAME,
                "target-integration-name": "Object Storage",
                "python-module": "airflow_provider_evolink.transfers.evolink_to_object_storage",
            }
        ],
        "extra-links": ["airflow_provider_evolink.links.evolink.EvoLinkResultLink"],
        "connection-types": [_connection_type()],
        "config": {"evolink": _config()},
    }


def _modules(kind: str) -> list[dict[str, Any]]:
    return [{"integration-name": _NAME, "python-modules": [f"airflow_provider_evolink.{kind}.evolink"]}]


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
                "description": "Seconds to wait for an answer when asking. Default 15.",
                "schema": {**_SECONDS, "default": 15},
            },
            "submit_timeout": {
                "label": "Submit timeout (s)",
                "description": "Seconds to wait for an answer when submitting. Default 30.",
                "schema": {**_SECONDS, "default": 30},
            },
            "verify": {
                "label": "Verify TLS",
                "description": "Path of a CA bundle or folder, or false to trust any certificate. Default true.",
                "schema": {"type": ["string", "null"]},
            },
            "proxy": {
                "label": "Proxy",
                "description": "URL of an HTTP proxy for the API and the hosts of results.",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
        },
    }


def _config() -> dict[str, Any]:
    return {
        "description": "How EvoLink generations are waited for.",
        "options": {
            "default_timeout": {
                "description": "Seconds for which a generation is waited for, where the task does not say: from its "
                "submission, or from the start of the sensor.",
                "version_added": "0.1.0",
                "type": "float",
                "example": "3600",
                "default": "1800",
            },
            "poll_interval": {
                "description": "Seconds between two questions about a generation, where the task does not say. "
                "Not set, it is asked when the model's earlier generations, and EvoLink's estimate, make it worth it.",
                "version_added": "0.1.0",
                "type": "float",
                "example": "10",
                "default": None,
            },
            "unreachable_timeout": {
                "description": "Seconds for which every question to EvoLink may fail before a wait gives up. "
                "The generation goes on all the same.",
                "version_added": "0.1.0",
                "type": "float",
                "example": "1800",
                "default": "600",
            },
        },
    }
