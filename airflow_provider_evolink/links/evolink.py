# SPDX-License-Identifier: Apache-2.0
"""Extra links on a task's page: to a generation's first result, to a batch's manifest, and to what has landed.

Airflow asks for them once a run of the task has ended, in its process, and keeps what it gets. So they are taken from
the operator that has run. To read an XCom instead would be a request, and an error in the log of each run without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.compat import BaseOperatorLink
from airflow_provider_evolink.links.addresses import video_tab

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

# XCom keys under which a task pushes the same, for other tasks.
RESULT_LINK_KEY = "result_link"
MANIFEST_LINK_KEY = "manifest_link"


class EvoLinkResultLink(BaseOperatorLink):
    """Open the first result while its URL is valid (24 hours for most models); empty until there is a result."""

    name = "EvoLink result"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the URL of the first result of this run of the task, or an empty string."""
        return str(getattr(operator, "result_link", ""))


class EvoLinkManifestLink(BaseOperatorLink):
    """Open a batch's manifest, where the browser can reach its storage; empty until there is one."""

    name = "EvoLink manifest"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the URI of the manifest that this run of the task has written, or an empty string."""
        return str(getattr(operator, "manifest_link", ""))


class EvoLinkWatchLink(BaseOperatorLink):
    """Open the tab that plays what a task has landed; empty until it has landed something."""

    name = "Watch"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the task instance's tab, relative to Airflow's base URL, or an empty string."""
        if not getattr(operator, "has_landed", False):
            return ""
        return video_tab(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
