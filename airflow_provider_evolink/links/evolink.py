# SPDX-License-Identifier: Apache-2.0
"""The button on a task's page that opens its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_evolink.compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

RESULT_LINK_KEY = "result_link"


class EvoLinkResultLink(BaseOperatorLink):
    """Opens the first result while its link lives (24 hours for most models); empty before there is one."""

    name = "EvoLink result"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the link that the task has pushed, or nothing."""
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_value(key=RESULT_LINK_KEY, ti_key=ti_key) or ""
