# SPDX-License-Identifier: Apache-2.0
"""Airflow's simple auth manager, with a user who may read one DAG only and one who may not read task instances."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

ADMIN, GUEST, ACCOUNTANT = "admin", "guest", "accountant"
OWN_DAG, OTHER_DAG = "shop", "secret"


class OneDagAuthManager(SimpleAuthManager):
    """``guest`` may read the DAG ``shop``; ``accountant`` its XComs, but not its task instances."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        """Return whether a user may do something with a DAG, or with any if there are no details."""
        if user.username == ADMIN:
            return True
        is_own = details is not None and details.id == OWN_DAG
        is_allowed = user.username == GUEST or access_entity is DagAccessEntity.XCOM
        return method == "GET" and is_own and is_allowed
