# SPDX-License-Identifier: Apache-2.0
"""The kinds of faults: when each one fires, on which endpoints, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ENDPOINTS = frozenset(
    {"submit", "read", "batch", "list", "credits", "models", "media"} | {"upload", "list_files", "delete_file", "quota"}
)


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    :param stage: when it fires: ``response`` (replaces or alters the response to a request), ``acceptance`` (before a
        submission is accepted) or ``generation`` (decides how an accepted generation ends).
    :param endpoints: endpoints that it can fire on.
    :param options: its options with their defaults. ``processed`` decides whether the request takes effect before its
        response is replaced; ``message`` replaces EvoLink's own error message.
    """

    stage: str
    endpoints: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)


_JSON = ENDPOINTS - {"media"}
_MEDIA, _SUBMIT = frozenset({"media"}), frozenset({"submit"})
_FAILURE = {"code": "content_policy_violation", "message": None}  # None: the default message of the code
_REDIRECT = {"processed": False, "location": "http://169.254.169.254/", "status": 302}

FAULT_KINDS: Mapping[str, FaultKind] = {
    # the connection
    "lost_response": FaultKind("response", ENDPOINTS),
    "connection_reset": FaultKind("response", ENDPOINTS),
    "slow_response": FaultKind("response", ENDPOINTS, {"seconds": 5.0}),
    "endless_body": FaultKind("response", ENDPOINTS),
    # the response
    "rate_limit": FaultKind("response", ENDPOINTS, {"processed": False, "retry_after": None}),
    "server_error": FaultKind("response", ENDPOINTS, {"processed": False, "status": 500}),
    "http_error": FaultKind("response", ENDPOINTS, {"processed": False, "status": 403, "message": None}),
    "html_response": FaultKind("response", ENDPOINTS, {"processed": False, "status": 200}),
    "malformed_json": FaultKind("response", _JSON),
    "unexpected_json": FaultKind("response", _JSON, {"body": ["unexpected"]}),
    "redirect": FaultKind("response", ENDPOINTS, _REDIRECT),
    "not_found": FaultKind("response", frozenset({"read", "batch"})),
    "batch_unsupported": FaultKind("response", frozenset({"batch"})),
    "ignore_idempotency": FaultKind("response", _SUBMIT),
    # the media
    "truncated_media": FaultKind("response", _MEDIA, {"fraction": 0.5}),
    "corrupt_media": FaultKind("response", _MEDIA, {"from_byte": 0}),
    "expired_link": FaultKind("response", _MEDIA, {"status": 410}),
    "range_unsupported": FaultKind("response", _MEDIA),
    # the submission
    "slow_acceptance": FaultKind("acceptance", _SUBMIT, {"seconds": 5.0}),
    # the generation
    "generation_failed": FaultKind("generation", _SUBMIT, _FAILURE),
    "moderation_rejected": FaultKind("generation", _SUBMIT, _FAILURE),
    "generation_cancelled": FaultKind("generation", _SUBMIT),
    "generation_stalled": FaultKind("generation", _SUBMIT, {"progress": 50}),
    "unknown_status": FaultKind("generation", _SUBMIT, {"status": "queued_upstream"}),
    "no_results": FaultKind("generation", _SUBMIT),
    "result_data_only": FaultKind("generation", _SUBMIT),
}
