"""What the DAG `secret_cases` meets: an EvoLink for each task, its fault, and what is to come of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings

MODEL = "gemini-omni-flash-text-to-video"
KEY = "sk-planted-Kq7Zb2Wv9Tn4Xc6M"
# Whatever a hurried person may paste, with all that some notation would escape.
ODD_KEY = 'sk-wrong/8"Q+%3A\\z&7=-Jd5Rf3'
PROMPT = "The planted prompt of a confidential film"
TOKEN = "tk-planted-Ub3Ye8Gs1La6"
HIDDEN_TOKEN = "tk-hidden-Mw4Op9Hx2Ci7"
_PACE = 10.0


@dataclass(frozen=True)
class Case:
    """
    One task.

    :param says: what its log must say, so that it is the case it claims to be.
    :param settings: of its EvoLink, beside key and pace.
    :param faults: to switch on there.
    """

    says: str
    state: str = "failed"
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()


_STALL = ({"fault": "generation_stalled"},)
_ECHO = {"fault": "http_error", "times": None, "status": 401, "message": f"Token {ODD_KEY} is unknown"}
_BLAME = {"fault": "moderation_rejected", "message": f"Refused for {KEY}: violence"}

CASES: Mapping[str, Case] = {
    "stored": Case("is completed: 1 result", "success"),
    "marked": Case("submitted", faults=_STALL),
    "deadline": Case("was not finished at the deadline", faults=_STALL),
    "moderated": Case("Refused for ***: violence", faults=(_BLAME,)),
    "wrong_key": Case("HTTP 401 unauthorized (authentication_error): Token *** is unknown", faults=(_ECHO,)),
    "no_credits": Case("HTTP 402", settings={"credits": 1.0}),
    "denied": Case("HTTP 403", settings={"denied_models": frozenset({MODEL})}),
    "lost_reply": Case("may have been accepted and charged", faults=({"fault": "lost_reply", "times": 2},)),
    # As often as the hook repeats it; that the task succeeds all the same is the retry policy's work.
    "slowed": Case(
        "HTTP 429",
        "success",
        faults=({"fault": "rate_limit", "on": "submit", "times": 4, "retry_after": 2},),
    ),
    "html": Case("that is not EvoLink's JSON", faults=({"fault": "html_response", "times": 2},)),
    "bad_parameter": Case("duration=99 is refused"),
    "callback": Case("submitted", "success"),
    "hidden_callback": Case("submitted", "success"),
    "bad_callback": Case("callback_url='http://10.0.0.7/hook' is refused"),
    # Slow enough to be still on its way when the sensor looks.
    "sensed": Case("is completed: 1 result", "success", settings={"clock": 3.0}),
    "echoed": Case("is completed: 0 result", "success", settings={"keys": (KEY, ODD_KEY)}),
    "dead_link": Case("The link of"),
}


@contextmanager
def evolinks() -> Iterator[dict[str, EmulatorHandle]]:
    """Run all of them, by task."""
    with ExitStack() as exits:
        handles = {}
        for name, case in CASES.items():
            settings = Settings(**{"clock": _PACE, "keys": (KEY,), **case.settings})
            handles[name] = exits.enter_context(running(settings))
            for fault in case.faults:
                handles[name].control.inject(**fault)
        yield handles


def connections(handles: Mapping[str, EmulatorHandle]) -> dict[str, dict[str, str]]:
    """Return the connections to them by id, as the REST API takes them."""
    return {
        f"evolink_{name}": {
            "conn_type": "evolink",
            "host": handle.url,
            "password": ODD_KEY if name in {"wrong_key", "echoed"} else KEY,
        }
        for name, handle in handles.items()
    }


def as_environment(connections: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the variables that Airflow reads connections from."""
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in connections.items()}


def submit(evolink: EmulatorHandle) -> str:
    """Have a generation made, as somebody else would."""
    answer = httpx.post(
        f"{evolink.url}/v1/videos/generations",
        json={"model": MODEL, "prompt": PROMPT, "duration": 3},
        headers={"Authorization": f"Bearer {evolink.api_key}"},
        trust_env=False,
    )
    return str(answer.raise_for_status().json()["id"])
