"""Which faults are active, all of them all the time, and how often each strikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_evolink.emulator.client import ControlClient

# What the connection is told to wait for, so that some slow answers come too late.
TIMEOUT, SUBMIT_TIMEOUT = 5, 8


@dataclass(frozen=True)
class Fault:
    """A fault of the emulator.

    :param percent: of the requests that those before it have spared.
    """

    name: str
    percent: float
    options: Mapping[str, Any] = field(default_factory=dict)


# About one submission in six gets an answer that leaves open whether it was accepted. A submission is sent at most six
# times, so that one of 200 fails for that about once in a thousand runs.
SUBMIT = (
    Fault("lost_reply", 2),
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
    # What becomes of it once it is accepted: the first two cost nothing, and a retry submits anew.
    Fault("generation_failed", 10, {"code": "service_error"}),
    Fault("generation_cancelled", 10),
    Fault("unknown_status", 15),
    Fault("result_data_only", 20),
)
READ = (
    Fault("lost_reply", 2),
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
    Fault("lost_reply", 4),
    Fault("connection_reset", 4),
    Fault("slow_response", 4, {"seconds": 3}),
    Fault("slow_response", 0.5, {"seconds": 65}),
    Fault("rate_limit", 4, {"retry_after": 2}),
    Fault("server_error", 2, {"status": 500}),
    Fault("server_error", 2, {"status": 502}),
    Fault("server_error", 2, {"status": 503}),
    Fault("html_response", 4),
    # To itself: elsewhere this package would not follow, for good reason and for good.
    Fault("redirect", 4, {"location": "?again"}),
)
WEATHER: Mapping[str, tuple[Fault, ...]] = {"submit": SUBMIT, "read": READ, "media": MEDIA}


def break_out(control: ControlClient) -> None:
    """Switch all faults on, until the emulator is gone."""
    for endpoint, faults in WEATHER.items():
        for fault in faults:
            control.inject(fault.name, endpoint, None, probability=fault.percent / 100, **fault.options)
