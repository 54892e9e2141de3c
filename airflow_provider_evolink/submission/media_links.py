# SPDX-License-Identifier: Apache-2.0
"""The links of a submission's media: the intent holds them before the request is sent, and every send has the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_evolink.api.errors import LedgerError

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.submission.record import LedgerRecord


def ready_to_send(request: GenerationRequest, intent: LedgerRecord) -> GenerationRequest:
    """Return the request with the links of its intent in the body: the same bytes at every send.

    :raises LedgerError: the intent lacks one of them. Nothing may be sent then.
    """
    if not request.pending_media:
        return request
    try:
        body = request.with_links(intent.media_links or {})
    except KeyError as error:
        raise LedgerError(
            f"The task's ledger lacks the link that an earlier try has sent for the media {error} (idempotency key "
            f"{intent.idempotency_key}), so the same request can't be sent again. Nothing was sent, and a retry finds "
            "the same: restore the entry, or look for the generation in EvoLink's task list."
        ) from None
    return replace(request, body=body, pending_media=())
