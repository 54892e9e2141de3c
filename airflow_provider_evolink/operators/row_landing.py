# SPDX-License-Identifier: Apache-2.0
"""Land the results of many generations of an account at a time."""

from __future__ import annotations

import functools

from airflow_provider_evolink.batch.landing import RowLander
from airflow_provider_evolink.execution import posters
from airflow_provider_evolink.execution.landing_step import fresh_link, media_network
from airflow_provider_evolink.execution.metrics import report_landed
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.kept_connections import KeptConnections
from airflow_provider_evolink.landing.storage_target import StorageTarget


def row_lander(
    hook: EvoLinkHook,
    target: StorageTarget,
    *,
    on_existing: OnExisting = OnExisting.FAIL,
    try_number: int = 0,
    failures_in_a_row: int = 0,
) -> RowLander:
    """Return what lands them.

    :param hook: the account that renews links, and whose settings apply to the hosts of results.
    :param target: the folder.
    :param on_existing: what to do with a file of the same name that was not written by whoever lands.
    :param try_number: of this try; 0 outside of a task.
    :param failures_in_a_row: temporary failures since the last file that landed.
    """
    renew = functools.partial(fresh_link, hook)
    network = media_network(hook.settings, KeptConnections())
    return RowLander(
        target, network, renew, on_existing, try_number, report_landed, failures_in_a_row, posters.painter()
    )
