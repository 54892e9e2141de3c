# SPDX-License-Identifier: Apache-2.0
"""Compatibility with the supported Airflow versions: whatever differs between them is imported from here."""

from airflow.sdk import BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator

from airflow_provider_evolink.compat.connections import get_async_connection
from airflow_provider_evolink.compat.database import map_index_of, same_task_instance, task_state_store_model
from airflow_provider_evolink.compat.decorators import DecoratedOperator, determine_kwargs, task_decorator_factory
from airflow_provider_evolink.compat.endings import (
    has_mapped_dependants,
    has_post_execute,
    has_success_listeners,
    has_xcom_backend,
)
from airflow_provider_evolink.compat.events import events_since
from airflow_provider_evolink.compat.exceptions import (
    CONNECTION_NOT_FOUND,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralError,
    TaskDeferralTimeout,
)
from airflow_provider_evolink.compat.retries import RetryDecision, RetryPolicy
from airflow_provider_evolink.compat.running import current_context, forward_kills, is_parsing_dag_file, outer_task
from airflow_provider_evolink.compat.services import (
    AirflowPlugin,
    conf,
    has_lineage_readers,
    hook_lineage_collector,
    metrics_sender,
    redact,
)
from airflow_provider_evolink.compat.storage import storage_conn_id
from airflow_provider_evolink.compat.stores import NEVER_EXPIRE, asset_state_store, has_state_stores, task_state_store
from airflow_provider_evolink.compat.xcoms import push_to_database, push_xcom_from_trigger

__all__ = [
    "CONNECTION_NOT_FOUND",
    "NEVER_EXPIRE",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowPlugin",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "DecoratedOperator",
    "RetryDecision",
    "RetryPolicy",
    "TaskDeferralError",
    "TaskDeferralTimeout",
    "asset_state_store",
    "conf",
    "current_context",
    "determine_kwargs",
    "events_since",
    "forward_kills",
    "get_async_connection",
    "has_lineage_readers",
    "has_mapped_dependants",
    "has_post_execute",
    "has_state_stores",
    "has_success_listeners",
    "has_xcom_backend",
    "hook_lineage_collector",
    "is_parsing_dag_file",
    "map_index_of",
    "metrics_sender",
    "outer_task",
    "push_to_database",
    "push_xcom_from_trigger",
    "redact",
    "same_task_instance",
    "storage_conn_id",
    "task_decorator_factory",
    "task_state_store",
    "task_state_store_model",
]
