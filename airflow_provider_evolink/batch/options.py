# SPDX-License-Identifier: Apache-2.0
"""The choices of a batch's author, and what identifies the try that carries them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.polling.policy import Watch
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.record import LedgerRecord

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The choices of a batch's author; arguments of the same names of ``EvoLinkBatchOperator``.

    :param conn_id: connection of the task.
    :param api_key: of the connection; only digests of it are stored.
    :param fingerprint: digest of a request, the connection id and the base URL.
    :param watch: returns how long a submission is waited for.
    :param try_number: of this try.
    :param max_tries: Airflow's current one, which differs from a recorded one after a clear.
    """

    policy: Policy
    max_in_flight: int
    max_credits: float | None
    min_credits_left: float | None
    max_failed: int | float
    on_row_failure: str
    on_invalid: str
    skip_existing: bool
    on_existing: OnExisting
    filename_pattern: str
    conn_id: str
    api_key: str = field(repr=False)
    fingerprint: Callable[[GenerationRequest], str]
    watch: Callable[[LedgerRecord], Watch]
    try_number: int
    max_tries: int

    @property
    def has_budget(self) -> bool:
        """Whether the prices of rows matter."""
        return self.max_credits is not None or self.min_credits_left is not None

    def allowed_failures(self, total: int) -> int:
        """Return how many of so many rows may fail before the task does."""
        if isinstance(self.max_failed, int):
            return self.max_failed
        # 0.29 * 100 is 28.999999999999996.
        return int(round(self.max_failed * total, 6))
