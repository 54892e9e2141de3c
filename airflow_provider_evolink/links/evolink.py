# SPDX-License-Identifier: Apache-2.0
"""Extra links on a task's page: to a generation's first result, to a batch's manifest, and to what has landed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.compat import BaseOperatorLink
from airflow_provider_evolink.links.addresses import video_tab
from airflow_provider_evolink.links.landed import landed_of

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

RESULT_LINK_KEY = "result_link"
MANIFEST_LINK_KEY = "manifest_link"
_RETURN_VALUE_KEY = "return_value"


class EvoLinkResultLink(BaseOperatorLink):
    """Open the first result while its URL is valid (24 hours for most models); empty until there is a result."""

    name = "EvoLink result"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the URL that the task pushed to XCom as ``result_link``, or an empty string."""
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_value(key=RESULT_LINK_KEY, ti_key=ti_key) or ""


class EvoLinkManifestLink(BaseOperatorLink):
    """Open a batch's manifest, where the browser can reach its storage; empty until there is one."""

    name = "EvoLink manifest"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the URI that the task pushed to XCom as ``manifest_link``, or an empty string."""
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_value(key=MANIFEST_LINK_KEY, ti_key=ti_key) or ""


class EvoLinkWatchLink(BaseOperatorLink):
    """Open the tab that plays what a task has landed; empty until it has landed something."""

    name = "Watch"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address of the task instance's tab, relative to Airflow's base URL, or an empty string."""
        from airflow.sdk.execution_time.xcom import XCom

        if not landed_of(XCom.get_value(key=_RETURN_VALUE_KEY, ti_key=ti_key)):
            return ""
        return video_tab(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
