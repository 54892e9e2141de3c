# SPDX-License-Identifier: Apache-2.0
"""Submit a generation, or resume the one that the ledger holds, as a step of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    InvalidInputError,
    LandingError,
    StaleRequestError,
    UnreadableInputError,
)
from airflow_provider_evolink.execution.reports import cannot_connect_now, cannot_land_now, invalid_after_payment
from airflow_provider_evolink.submission.record import LedgerRecord, fingerprint

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.execution.account import Account
    from airflow_provider_evolink.submission.submitter import SubmissionResult, Submitter


@dataclass(frozen=True, slots=True)
class SubmissionStep:
    """Everything needed to submit, except what the ledger holds.

    :param account: that pays. It is one look-up of the connection: what is checked is what is recorded and pays.
    :param make_request: reads and checks the input, and builds the request; nothing is sent.
    :param make_submitter: receives the record that will be resumed if nothing has changed; ``None`` = there is none.
    :param try_number: of this try.
    :param max_tries: Airflow's current one.
    :param log: receives warnings about the request.
    :param paid_by: who has submitted what the ledger holds, for errors.
    :param report_changed: returns the error of a request other than the ledger's; ``None`` = it says "an earlier try".
    """

    account: Account
    make_request: Callable[[], GenerationRequest]
    make_submitter: Callable[[LedgerRecord | None], Submitter]
    try_number: int
    max_tries: int
    log: Any
    paid_by: str = "an earlier try"
    report_changed: Callable[[LedgerRecord], StaleRequestError] | None = None

    def run(self, known: LedgerRecord | None) -> SubmissionResult:
        """Submit or resume, paying at most once.

        :param known: what the ledger holds.
        :raises EvoLinkError: nothing may be sent, or EvoLink rejected it, or its response was lost.
        """
        conn_id = self.account.evolink_conn_id
        try:
            request = self.make_request()
        except (UnreadableInputError, ConnectionError, TimeoutError) as error:
            return self.make_submitter(known).resume_without_input(known, error, max_tries=self.max_tries)
        except InvalidInputError as error:
            raise invalid_after_payment(error, known, conn_id=conn_id, paid_by=self.paid_by) from None
        except ConfigurationError as error:
            raise cannot_connect_now(error, known, paid_by=self.paid_by) from None
        except LandingError as error:
            raise cannot_land_now(error, known, conn_id=conn_id) from error
        for warning in request.warnings:
            self.log.warning("%s", warning)
        settings = self.account.settings
        digest = fingerprint(conn_id, settings.base_url, request.endpoint, request.body)
        resumable = known if known is not None and known.fingerprint == digest else None
        try:
            return self.make_submitter(resumable).submit_or_resume(
                known,
                request,
                digest,
                try_number=self.try_number,
                max_tries=self.max_tries,
                api_key=settings.api_key,
            )
        except StaleRequestError:
            if known is None or self.report_changed is None:
                raise
            raise self.report_changed(known) from None
