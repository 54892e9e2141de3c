# SPDX-License-Identifier: Apache-2.0
"""Tests of the hook: an EvoLink account as an Airflow connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow import sdk
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    ConnectionNotFoundError,
    EvoLinkError,
    GenerationNotFoundError,
    InvalidInputError,
    NotSentError,
    ServerError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.connection_settings import _extra
from airflow_provider_evolink.hooks.evolink import EvoLinkHook, async_settings
from tests import hostile

pytestmark = pytest.mark.usefixtures("no_pauses")

KEY = "airflow-0123456789abcdef"
Connect = Callable[..., EvoLinkHook]


@pytest.fixture
def connect(evolink_emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that makes a hook whose connection to the emulator has other fields."""

    def hook_with(**changes: Any) -> EvoLinkHook:
        fields = {**json.loads(evolink_emulator.airflow_connection), **changes}
        monkeypatch.setenv("AIRFLOW_CONN_MY_EVOLINK", json.dumps(fields))
        return EvoLinkHook("my_evolink")

    return hook_with


def requests(emulator: EmulatorHandle) -> dict[str, int]:
    """Return how many requests each endpoint has had."""
    return {name: count for name, count in emulator.control.state()["requests"].items() if count}


@pytest.mark.parametrize("conn_type", ["evolink", "http"])
def test_connection_types(connect: Connect, evolink_emulator: EmulatorHandle, conn_type: str) -> None:
    """Connections of the types ``evolink`` and ``http`` are accepted."""
    hook = connect(conn_type=conn_type)

    assert hook.get_credits().account_remaining == 1000
    assert hook.is_loopback
    assert asyncio.run(async_settings("my_evolink")) == hook.settings


def test_another_type_is_refused(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """A connection of another type is refused by name, and its password is not sent."""
    hook = connect(conn_type="postgres")

    with pytest.raises(ConfigurationError, match=r"'my_evolink'.*'postgres'") as caught:
        hook.get_credits()
    with pytest.raises(ConfigurationError, match="postgres"):
        asyncio.run(async_settings("my_evolink"))
    assert evolink_emulator.api_key not in str(caught.value)
    assert requests(evolink_emulator) == {}


def test_a_connection_as_uri(evolink_emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection may also be given as a URI."""
    port = evolink_emulator.url.rpartition(":")[2]
    monkeypatch.setenv(
        "AIRFLOW_CONN_EVOLINK_DEFAULT", f"evolink://:{evolink_emulator.api_key}@127.0.0.1:{port}/http?timeout=5"
    )

    hook = EvoLinkHook()

    assert hook.settings.timeout == 5
    assert hook.get_credits().account_remaining == 1000


def test_a_missing_connection_in_an_event_loop() -> None:
    """A missing connection has its own error in an event loop, since another process may have the connection."""
    with pytest.raises(ConnectionNotFoundError, match=r"'not_here' .*Nothing was sent"):
        asyncio.run(async_settings("not_here"))


# Before 3.2 Airflow itself can't read such a connection, and reports it as missing.
_BAD_EXTRA = "JSON object" if hasattr(sdk, "conf") else "was not found"


@pytest.mark.parametrize("extra", ["[]", "nonsense", '"text"', "5"])
def test_the_extra_must_be_an_object(connect: Connect, extra: str) -> None:
    """An extra that is not a JSON object is refused without being quoted."""
    with pytest.raises(ConfigurationError, match=rf"'my_evolink'.*{_BAD_EXTRA}") as caught:
        _ = connect(extra=extra).settings
    assert extra.strip('"') not in str(caught.value)


@given(
    hostile.anything.map(json.dumps) | hostile.pages.map(lambda page: page.decode("latin-1")) | st.text() | st.none()
)
def test_any_extra_is_an_object_or_refused(text: str | None) -> None:
    """Any extra is either parsed as an object or refused."""
    with suppress(ConfigurationError):
        assert isinstance(_extra("my_evolink", text), dict)


def test_test_connection_is_free(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """Testing a connection reads the credits once and reports them."""
    works, message = connect().test_connection()

    assert works
    assert message.count("1000") == 2  # of the API key and of the account
    assert requests(evolink_emulator) == {"credits": 1, "total": 1}


def test_test_connection_reports_what_is_wrong(
    connect: Connect, evolink_emulator: EmulatorHandle, unused_tcp_port: int
) -> None:
    """A wrong API key, a web page and a dead host are reported in the message, never raised."""
    evolink_emulator.control.inject("html_response", on="credits", times=4)

    results = [
        connect().test_connection(),
        connect(password="sk-wrong-key-1234").test_connection(),
        connect(host=f"http://127.0.0.1:{unused_tcp_port}").test_connection(),
        connect(password="").test_connection(),
        connect(host="http://api.evolink.ai").test_connection(),
    ]

    assert [works for works, _ in results] == [False] * 5
    for (_, text), part in zip(
        results, ("text/html", "401", "could not be reached", "no API key", "http"), strict=True
    ):
        assert part in text
    assert set(requests(evolink_emulator)) == {"credits", "total"}


def test_from_submission_to_reading(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """A submitted generation can be read, alone and in a batch."""
    hook = connect()
    request = hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})

    first = hook.submit(request, KEY)
    second = hook.submit(request, KEY)

    assert (first.replayed, second.replayed) == (False, True)
    assert hook.get_generation(first.generation.id).id == first.generation.id
    assert set(hook.get_generations([first.generation.id, "task-unified-1-unknown"])) == {first.generation.id}
    with pytest.raises(GenerationNotFoundError, match="task-unified-1-unknown"):
        hook.get_generation("task-unified-1-unknown")


def test_the_accounts_generations(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """The list has what the account has made, newest first, filtered, without links; several pages of it."""
    hook = connect()
    request = hook.prepare("z-image-turbo", {"prompt": "A lighthouse"})
    started = datetime.now(UTC)
    made = [hook.submit(request, f"{KEY}-{number}").generation.id for number in range(55)]
    evolink_emulator.control.advance(600)
    evolink_emulator.control.inject("generation_failed", on="submit")
    failed = hook.submit(request, f"{KEY}-failed").generation.id
    evolink_emulator.control.advance(600)

    listed = hook.list_generations(since=started - timedelta(hours=1), model="z-image-turbo")
    assert [each.id for each in listed] == made[::-1]
    assert {(each.status, each.links, each.usage.credits_used) for each in listed} == {("completed", (), 2.5)}
    assert [each.id for each in hook.list_generations(limit=3)] == made[:-4:-1]
    assert [each.id for each in hook.list_generations(status="failed")] == [failed]
    assert hook.list_generations(since=started + timedelta(days=1)) == hook.list_generations(model="gpt-image-2") == []
    assert hook.count_generations(status="completed") == 55


def test_a_time_without_a_zone(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """Nobody can know which time that is."""
    with pytest.raises(InvalidInputError, match="time zone"):
        connect().list_generations(since=datetime(2026, 1, 1))  # noqa: DTZ001
    assert requests(evolink_emulator) == {}


def test_reads_are_retried_and_submissions_are_not(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """A read survives three transient failures; a submission is never repeated."""
    hook = connect()
    evolink_emulator.control.inject("server_error", on="credits", times=3)
    evolink_emulator.control.inject("server_error", on="submit")

    assert hook.get_credits().account_remaining == 1000
    with pytest.raises(ServerError):
        hook.submit(hook.prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse"}), KEY)
    assert requests(evolink_emulator) == {"credits": 4, "submit": 1, "total": 5}


def test_a_read_that_was_never_sent_denies_no_charge(connect: Connect, unused_tcp_port: int) -> None:
    """A generation that can't be read is usually paid for, so the error does not say that nothing was charged."""
    hook = connect(host=f"http://127.0.0.1:{unused_tcp_port}")

    with pytest.raises(NotSentError, match="task-unified-1-paid") as caught:
        hook.get_generation("task-unified-1-paid")
    assert "charged" not in str(caught.value)


def test_invalid_input_sends_nothing(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """Input that EvoLink would reject is refused without a request."""
    with pytest.raises(InvalidInputError, match="duration"):
        connect().prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 99})
    with pytest.raises(InvalidInputError, match="generation_id"):
        connect().get_generation("../credits")
    assert requests(evolink_emulator) == {}


def test_an_api_key_in_the_wrong_field(evolink_emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API key in the login field is reported as missing from the password field, and never shown."""
    fields = {"conn_type": "evolink", "host": evolink_emulator.url, "login": evolink_emulator.api_key}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(fields))
    with pytest.raises(ConfigurationError, match=r"evolink_default.*login.*password") as refused:
        EvoLinkHook().get_credits()
    assert evolink_emulator.api_key not in str(refused.value)
    assert requests(evolink_emulator) == {}


async def test_inside_a_running_loop(connect: Connect, evolink_emulator: EmulatorHandle) -> None:
    """A hook works inside a running event loop, as in a notebook, and raises its errors there."""
    hook = connect()

    assert hook.get_credits().account_remaining == 1000
    with pytest.raises(EvoLinkError, match="task-unified-1-unknown"):
        hook.get_generation("task-unified-1-unknown")


def test_a_missing_connection() -> None:
    """An unknown connection has its own error, with its id."""
    with pytest.raises(ConnectionNotFoundError, match="'no_such_connection'"):
        EvoLinkHook("no_such_connection").get_credits()
