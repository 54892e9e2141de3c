# SPDX-License-Identifier: Apache-2.0
"""The cases of the DAG `secret_cases`: an EvoLink for each task, its faults, and the expected outcome."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from airflow_provider_evolink.api.errors import GenerationTimeoutError, ResultExpiredError, SubmissionUnknownError
from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings

MODEL = "gemini-omni-flash-text-to-video"
KEY = "sk-planted-Kq7Zb2Wv9Tn4Xc6M"
# A key pasted by mistake, with every character that some notation escapes.
ODD_KEY = 'sk-wrong/8"Q+%3A\\z&7=-Jd5Rf3'
PROMPT = "The planted prompt of a confidential video"
TOKEN = "tk-planted-Ub3Ye8Gs1La6"
HIDDEN_TOKEN = "tk-hidden-Mw4Op9Hx2Ci7"
_PACE = 10.0


@dataclass(frozen=True)
class Case:
    """One task.

    :param state: its expected final state.
    :param facts: what its log must hold to be the case it claims to be: codes, parameters, EvoLink's own words.
    :param settings: settings of its EvoLink, in addition to API key and pace.
    :param faults: faults to inject there.
    """

    state: str = "failed"
    facts: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()


_STALL = ({"fault": "generation_stalled"},)
_ECHO = {"fault": "http_error", "times": None, "status": 401, "message": f"Token {ODD_KEY} is unknown"}
_REJECTION = {"fault": "moderation_rejected", "message": f"Refused for {KEY}: violence"}

CASES: Mapping[str, Case] = {
    "stored": Case("success"),
    "marked": Case(faults=_STALL),
    "deadline": Case(facts=(GenerationTimeoutError.__name__,), faults=_STALL),
    "moderated": Case(facts=("Refused for ***: violence",), faults=(_REJECTION,)),
    "wrong_key": Case(facts=("401", "Token *** is unknown"), faults=(_ECHO,)),
    "no_credits": Case(facts=("402",), settings={"credits": 1.0}),
    "denied": Case(facts=("403",), settings={"denied_models": frozenset({MODEL})}),
    "lost_response": Case(facts=(SubmissionUnknownError.__name__,), faults=({"fault": "lost_response", "times": 2},)),
    # As often as the hook repeats the request; the retry policy makes the task succeed all the same.
    "slowed": Case(
        "success",
        facts=("429",),
        faults=({"fault": "rate_limit", "on": "submit", "times": 4, "retry_after": 2},),
    ),
    "html": Case(facts=(SubmissionUnknownError.__name__,), faults=({"fault": "html_response", "times": 2},)),
    "bad_parameter": Case(facts=("duration", "99")),
    "callback": Case("success"),
    "hidden_callback": Case("success"),
    "bad_callback": Case(facts=("callback_url", "http://10.0.0.7/hook")),
    # Slow enough to be still processing at the sensor's first read.
    "sensed": Case("success", settings={"clock": 3.0}),
    "echoed": Case("success", settings={"api_keys": (KEY, ODD_KEY)}),
    "dead_link": Case(facts=(ResultExpiredError.__name__,)),
}


@contextmanager
def evolinks() -> Iterator[dict[str, EmulatorHandle]]:
    """Run an EvoLink for each case, by task id."""
    with ExitStack() as exits:
        handles = {}
        for name, case in CASES.items():
            settings = Settings(**{"clock": _PACE, "api_keys": (KEY,), **case.settings})
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
    """Return the environment variables that Airflow reads connections from."""
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in connections.items()}


def submit(evolink: EmulatorHandle) -> str:
    """Submit a generation from outside Airflow."""
    response = httpx.post(
        f"{evolink.url}/v1/videos/generations",
        json={"model": MODEL, "prompt": PROMPT, "duration": 3},
        headers={"Authorization": f"Bearer {evolink.api_key}"},
        trust_env=False,
    )
    return str(response.raise_for_status().json()["id"])
