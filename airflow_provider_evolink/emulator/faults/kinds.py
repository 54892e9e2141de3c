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
    :param effect: what happens, as a clause for the documentation.
    :param options: its options with their defaults. ``processed`` decides whether the request takes effect before its
        response is replaced; ``message`` replaces EvoLink's own error message.
    """

    stage: str
    endpoints: frozenset[str]
    effect: str
    options: Mapping[str, Any] = field(default_factory=dict)


_JSON = ENDPOINTS - {"media"}
_MEDIA, _SUBMIT = frozenset({"media"}), frozenset({"submit"})
_FAILURE = {"code": "content_policy_violation", "message": None}  # None: the default message of the code
_REDIRECT = {"processed": False, "location": "http://169.254.169.254/", "status": 302}

FAULT_KINDS: Mapping[str, FaultKind] = {
    # the connection
    "lost_response": FaultKind(
        "response", ENDPOINTS, "the request takes effect, and the connection breaks before the response"
    ),
    "connection_reset": FaultKind("response", ENDPOINTS, "the connection breaks at once"),
    "slow_response": FaultKind("response", ENDPOINTS, "the response comes late", {"seconds": 5.0}),
    "endless_body": FaultKind("response", ENDPOINTS, "the response never ends"),
    # the response
    "rate_limit": FaultKind(
        "response", ENDPOINTS, "429, with `Retry-After` if given", {"processed": False, "retry_after": None}
    ),
    "server_error": FaultKind("response", ENDPOINTS, "a 5xx", {"processed": False, "status": 500}),
    "http_error": FaultKind(
        "response",
        ENDPOINTS,
        "any HTTP error, with EvoLink's or another message",
        {"processed": False, "status": 403, "message": None},
    ),
    "html_response": FaultKind(
        "response", ENDPOINTS, "a web page, as from an intermediary", {"processed": False, "status": 200}
    ),
    "malformed_json": FaultKind("response", _JSON, "JSON that is cut off"),
    "unexpected_json": FaultKind("response", _JSON, "other JSON", {"body": ["unexpected"]}),
    "redirect": FaultKind("response", ENDPOINTS, "a redirect, by default to where none must follow", _REDIRECT),
    "not_found": FaultKind("response", frozenset({"read", "batch"}), "the generation is unknown for a moment"),
    "batch_unsupported": FaultKind("response", frozenset({"batch"}), "404, as if there were no such endpoint"),
    "ignore_idempotency": FaultKind(
        "response", _SUBMIT, "the idempotency key is ignored: the same request is charged again"
    ),
    # the media
    "truncated_media": FaultKind("response", _MEDIA, "a download is cut off", {"fraction": 0.5}),
    "corrupt_media": FaultKind("response", _MEDIA, "the bytes from there on are wrong", {"from_byte": 0}),
    "expired_link": FaultKind("response", _MEDIA, "a link is dead", {"status": 410}),
    "range_unsupported": FaultKind("response", _MEDIA, "a download can't be resumed"),
    # the submission
    "slow_acceptance": FaultKind(
        "acceptance", _SUBMIT, "the generation starts late; the same request meanwhile gets 409", {"seconds": 5.0}
    ),
    # the generation
    "generation_failed": FaultKind("generation", _SUBMIT, "the generation fails with that code", _FAILURE),
    "moderation_rejected": FaultKind("generation", _SUBMIT, "the same, by the name of its usual reason", _FAILURE),
    "generation_cancelled": FaultKind("generation", _SUBMIT, "the generation is cancelled half-way"),
    "generation_stalled": FaultKind(
        "generation", _SUBMIT, "the generation stays at that progress for ever", {"progress": 50}
    ),
    "unknown_status": FaultKind(
        "generation", _SUBMIT, "the generation has an undocumented status while it runs", {"status": "queued_upstream"}
    ),
    "no_results": FaultKind("generation", _SUBMIT, "the generation is completed and charged, without a link"),
    "result_data_only": FaultKind("generation", _SUBMIT, "its links are in `result_data` only"),
}
