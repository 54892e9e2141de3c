# SPDX-License-Identifier: Apache-2.0
"""The faults of the experiment: all of them are active all the time, each with its own probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.emulator.client import ControlClient

# Timeouts of the connection in seconds, so low that some slow responses come too late.
TIMEOUT, SUBMIT_TIMEOUT = 5, 8


@dataclass(frozen=True)
class Fault:
    """A fault of the emulator.

    :param name: as the emulator names it.
    :param percent: share of the requests that no earlier fault of the list has hit.
    :param options: options of the fault.
    """

    name: str
    percent: float
    options: Mapping[str, Any] = field(default_factory=dict)


# About one submission in six gets a response that leaves open whether it was accepted. A submission is sent at most six
# times, so in a run of 200 one fails for that reason about once in a thousand runs.
SUBMIT = (
    Fault("lost_response", 2),
    Fault("connection_reset", 1.5),
    Fault("slow_response", 2, {"seconds": 3}),
    Fault("slow_response", 1.5, {"seconds": 12}),
    Fault("endless_body", 0.5),
    Fault("rate_limit", 5, {"retry_after": 2}),
    Fault("server_error", 1.5, {"status": 500, "processed": True}),
    Fault("server_error", 1, {"status": 502}),
    Fault("server_error", 1, {"status": 503, "processed": True}),
    Fault("html_response", 1.5, {"processed": True}),
    Fault("html_response", 1),
    Fault("malformed_json", 1.5),
    Fault("unexpected_json", 1.5),
    Fault("redirect", 1, {"processed": True}),
    Fault("redirect", 0.5),
    Fault("slow_acceptance", 5, {"seconds": 3}),
    Fault("slow_acceptance", 2, {"seconds": 12}),
    # How it ends once it is accepted: the first two cost nothing, and a retry submits again.
    Fault("generation_failed", 10, {"code": "service_error"}),
    Fault("generation_cancelled", 10),
    Fault("unknown_status", 15),
    Fault("result_data_only", 20),
)
READ = (
    Fault("lost_response", 2),
    Fault("connection_reset", 2),
    Fault("slow_response", 2, {"seconds": 2}),
    Fault("slow_response", 1, {"seconds": 8}),
    Fault("endless_body", 1),
    Fault("rate_limit", 2, {"retry_after": 2}),
    Fault("server_error", 1, {"status": 500}),
    Fault("server_error", 1, {"status": 502}),
    Fault("server_error", 1, {"status": 503}),
    Fault("html_response", 2),
    Fault("html_response", 1, {"status": 403}),
    Fault("malformed_json", 2),
    Fault("unexpected_json", 2),
    Fault("redirect", 2),
    Fault("not_found", 1.5),
)
MEDIA = (
    Fault("truncated_media", 15),
    Fault("range_unsupported", 8),
    Fault("expired_link", 10),
    Fault("lost_response", 4),
    Fault("connection_reset", 4),
    Fault("slow_response", 4, {"seconds": 3}),
    Fault("slow_response", 0.5, {"seconds": 65}),
    Fault("rate_limit", 4, {"retry_after": 2}),
    Fault("server_error", 2, {"status": 500}),
    Fault("server_error", 2, {"status": 502}),
    Fault("server_error", 2, {"status": 503}),
    Fault("html_response", 4),
    # To itself: the provider would refuse for good to follow it anywhere else.
    Fault("redirect", 4, {"location": "?again"}),
)
FAULT_PROFILE: Mapping[str, tuple[Fault, ...]] = {"submit": SUBMIT, "read": READ, "batch": READ, "media": MEDIA}


def activate(control: ControlClient) -> None:
    """Activate all faults until the emulator stops."""
    for endpoint, faults in FAULT_PROFILE.items():
        for fault in faults:
            control.inject(fault.name, endpoint, None, probability=fault.percent / 100, **fault.options)
