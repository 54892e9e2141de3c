"""EvoLink's endpoints over HTTP: what is sent, what is repeated, and what an error becomes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import MAX_BATCH, EvoLinkClient, run
from airflow_provider_evolink.api.generation import Submission
from airflow_provider_evolink.api.over_httpx import MAX_CONNECTIONS
from airflow_provider_evolink.api.request import prepare
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.emulator.server import EmulatorHandle
from tests.loopback import Asked, Write, always, serving, settings_for, whole

KEY = "airflow-0123456789abcdef"
TEXT = prepare("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3})
UNKNOWN_ID = "task-unified-1757169743-7cvnl5zw"
CREDITS = {"data": {"token": {"unlimited_credits": True}, "user": {"remaining_credits": 7}}, "success": True}

Call = Callable[[EvoLinkClient], Awaitable[Any]]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)


@pytest.fixture
def pictures() -> Path:
    """Where real pictures are."""
    return Path(__file__).parent.parent / "data"


@pytest.fixture
async def client(evolink_emulator: EmulatorHandle) -> AsyncIterator[EvoLinkClient]:
    """A client of the emulator, which sends everything once."""
    async with EvoLinkClient(settings_for(evolink_emulator)) as one:
        yield one


@pytest.fixture
async def patient(evolink_emulator: EmulatorHandle) -> AsyncIterator[EvoLinkClient]:
    """A client of the emulator as the hook uses it: up to four times."""
    async with EvoLinkClient(settings_for(evolink_emulator), attempts=4) as one:
        yield one


async def submit(client: EvoLinkClient, key: str = KEY) -> Submission:
    """Submit a short video."""
    return await client.submit(TEXT.endpoint, TEXT.body, key)


def sent(emulator: EmulatorHandle) -> dict[str, int]:
    """How often each endpoint was asked."""
    counted: dict[str, int] = emulator.control.state()["requests"]
    return counted


# What is sent


async def test_a_submission_is_read(client: EvoLinkClient) -> None:
    """An accepted submission gives its id, estimate and reserved credits."""
    made = await submit(client)

    assert made.generation.id.startswith("task-unified-")
    assert made.generation.status in {"pending", "processing"}
    assert made.generation.usage.credits_reserved == pytest.approx(30.7, rel=0.01)
    assert made.generation.estimated_time
    assert not made.replayed


async def test_the_same_key_and_body_are_recognised(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """A replay gives the first generation and says so."""
    first = await submit(client)
    again = await submit(client)

    assert (again.generation.id, again.replayed) == (first.generation.id, True)
    assert len(evolink_emulator.control.state()["generations"]) == 1


async def test_headers_of_a_submission() -> None:
    """Both idempotency headers, our name, and the key in its header only."""
    with serving(always({"id": UNKNOWN_ID, "status": "pending"})) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            await submit(client)

    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/v1/videos/generations")
    assert asked.headers["authorization"] == "Bearer sk-planted-key-4711"
    assert asked.headers["idempotency-key"] == asked.headers["x-evo-run-id"] == KEY
    assert asked.headers["user-agent"] == f"airflow-provider-evolink/{__version__}"
    assert asked.headers["content-type"] == "application/json"
    assert asked.body == TEXT.body
    assert sum("planted" in text for text in [*asked.headers.values(), asked.target, asked.body.decode()]) == 1


async def test_a_batch_gives_what_is_known(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """Many are read with one request; an unknown id is absent, a doubled one is asked once."""
    made = [(await submit(client, f"{KEY}-{number}")).generation.id for number in range(3)]

    found = await client.generations([*made, made[0], UNKNOWN_ID])

    assert set(found) == set(made)
    assert sent(evolink_emulator)["batch"] == 1
    with pytest.raises(errors.InvalidInputError, match=str(MAX_BATCH)):
        await client.generations(f"{UNKNOWN_ID}{number}" for number in range(51))


@pytest.mark.parametrize("generation_id", ["", "../v1/credits", "task-unified-1/../../x", "....", "a b c d", "x" * 129])
async def test_an_id_that_is_none_is_not_sent(
    client: EvoLinkClient, evolink_emulator: EmulatorHandle, generation_id: str
) -> None:
    """What could lead to another path is refused before anything is sent."""
    for call in (client.generation(generation_id), client.generations([generation_id])):
        with pytest.raises(errors.InvalidInputError, match="generation_id"):
            await call
    assert sent(evolink_emulator)["total"] == 0


async def test_an_upload_becomes_a_link(
    client: EvoLinkClient, evolink_emulator: EmulatorHandle, pictures: Path
) -> None:
    """A real file arrives whole, under its name and type."""
    link = await client.upload(pictures / "frame.png", "image/png")

    [upload] = evolink_emulator.control.state()["uploads"]
    assert link.endswith(upload["file_url"])
    assert (upload["mime_type"], upload["original_name"]) == ("image/png", "frame.png")
    assert upload["file_size"] == (pictures / "frame.png").stat().st_size


async def test_an_upload_may_be_repeated(
    patient: EvoLinkClient, evolink_emulator: EmulatorHandle, pictures: Path
) -> None:
    """An upload is free, so it is sent again, and whole again, after a failure in passing."""
    evolink_emulator.control.inject("server_error", on="upload", status=502)
    evolink_emulator.control.inject("lost_reply", on="upload")

    await patient.upload(pictures / "frame.png", "image/png")

    assert sent(evolink_emulator)["upload"] == 3
    [upload] = evolink_emulator.control.state()["uploads"]
    assert upload["file_size"] == (pictures / "frame.png").stat().st_size


async def test_credits(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The account's balance, in credits."""
    assert (await client.credits()).account_remaining == 1000
    assert sent(evolink_emulator)["credits"] == sent(evolink_emulator)["total"] == 1


# What an error becomes

SUBMIT_ERRORS = [
    (400, errors.BadRequestError, "invalid_request", "Invalid request parameters", "invalid_request_error"),
    (401, errors.AuthenticationError, "unauthorized", "Invalid or expired token", "authentication_error"),
    (402, errors.InsufficientCreditsError, "insufficient_quota", "Insufficient quota.", "insufficient_quota"),
    (403, errors.AccessDeniedError, "model_access_denied", "Token does not have access", "invalid_request_error"),
    (404, errors.BadRequestError, "not_found", "Invalid URL", "invalid_request_error"),
    (409, errors.IdempotencyConflictError, "idempotency_conflict", "already used", "invalid_request_error"),
    (429, errors.RateLimitedError, "rate_limit_exceeded", "Too many requests", "rate_limit_error"),
    (500, errors.ServerError, "internal_error", "Internal server error", "api_error"),
]
READ_ERRORS = [
    (400, errors.BadRequestError, "invalid_task_id", "Invalid task ID format", "invalid_request_error"),
    (401, errors.AuthenticationError, "unauthorized", "Authentication required", "authentication_error"),
    (402, errors.InsufficientCreditsError, "quota_exceeded", "Insufficient quota.", "insufficient_quota"),
    (403, errors.AccessDeniedError, "permission_denied", "You don't have permission", "invalid_request_error"),
    (404, errors.GenerationNotFoundError, "task_not_found", "could not be found", "invalid_request_error"),
    (429, errors.RateLimitedError, "rate_limit_exceeded", "Rate limit exceeded", "evo_api_error"),
    (500, errors.ServerError, "internal_error", "Failed to retrieve task status", "api_error"),
]
CREDITS_ERRORS = [
    (401, errors.AuthenticationError, "401", "Invalid or expired token", "authentication_error"),
    (403, errors.AccessDeniedError, "403", "Access denied", "permission_error"),
    (429, errors.RateLimitedError, "429", "Rate limit exceeded", "rate_limit_error"),
    (500, errors.ServerError, "500", "Internal server error", "internal_server_error"),
]
CALLS: dict[str, Call] = {
    "submit": submit,
    "read": lambda client: client.generation(UNKNOWN_ID),
    "credits": lambda client: client.credits(),
}


@pytest.mark.parametrize(
    ("endpoint", "status", "kind", "code", "message", "type_"),
    [
        *(("submit", *row) for row in SUBMIT_ERRORS),
        *(("read", *row) for row in READ_ERRORS),
        *(("credits", *row) for row in CREDITS_ERRORS),
    ],
)
async def test_each_documented_error(
    client: EvoLinkClient,
    evolink_emulator: EmulatorHandle,
    endpoint: str,
    status: int,
    kind: type[errors.ApiError],
    code: str,
    message: str,
    type_: str,
) -> None:
    """Each documented error is its own exception, with code, message, type and request id, all told in its text."""
    evolink_emulator.control.inject("refused", on=endpoint, status=status)

    with pytest.raises(errors.ApiError) as caught:
        await CALLS[endpoint](client)

    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.type) == (status, code, type_)
    assert error.detail
    assert message in error.detail
    assert error.request_id
    for part in (str(status), code, message, error.request_id, "retry"):
        assert part in str(error)
    assert error.generation_id == (UNKNOWN_ID if endpoint == "read" else None)


async def test_errors_that_need_no_fault(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """A real wrong key, an empty account, an unknown id and a bad value are refused as documented."""
    wrong = replace(client.settings, api_key="sk-wrong-key-1234")
    async with EvoLinkClient(wrong) as stranger:
        with pytest.raises(errors.AuthenticationError, match="unauthorized"):
            await submit(stranger)
    with pytest.raises(errors.GenerationNotFoundError, match="task_not_found"):
        await client.generation(UNKNOWN_ID)
    with pytest.raises(errors.BadRequestError, match="duration"):
        await client.submit(
            TEXT.endpoint, b'{"model":"gemini-omni-flash-text-to-video","prompt":"x","duration":1}', KEY
        )
    evolink_emulator.control.add_credits(-1000)
    with pytest.raises(errors.InsufficientCreditsError, match="insufficient_quota"):
        await submit(client)


async def test_another_body_under_the_same_key(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """A key that was used for another request is a conflict; nothing new is made."""
    await submit(client)
    other = prepare(TEXT.model, {"prompt": "A harbour", "duration": 3})

    with pytest.raises(errors.IdempotencyConflictError, match="idempotency_conflict"):
        await client.submit(other.endpoint, other.body, KEY)
    assert len(evolink_emulator.control.state()["generations"]) == 1


# What is repeated

PASSING: list[tuple[str, dict[str, Any]]] = [
    ("rate_limit", {"retry_after": 0}),
    ("server_error", {"status": 500}),
    ("server_error", {"status": 503}),
    ("lost_reply", {}),
    ("reset", {}),
    ("html", {}),
    ("html", {"status": 502}),
    ("broken_json", {}),
]


@pytest.mark.parametrize(("fault", "options"), PASSING)
@pytest.mark.parametrize("endpoint", ["read", "batch", "credits"])
async def test_reading_is_repeated(
    patient: EvoLinkClient, evolink_emulator: EmulatorHandle, endpoint: str, fault: str, options: dict[str, Any]
) -> None:
    """A read that fails in passing three times is answered at the fourth."""
    made = (await submit(patient)).generation.id
    evolink_emulator.control.inject(fault, on=endpoint, times=3, **options)
    ask: dict[str, Call] = {
        "read": lambda client: client.generation(made),
        "batch": lambda client: client.generations([made]),
        "credits": lambda client: client.credits(),
    }

    assert await ask[endpoint](patient)

    assert sent(evolink_emulator)[endpoint] == 4


async def test_reading_is_not_repeated_without_end(patient: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The fourth failure is the caller's."""
    evolink_emulator.control.inject("server_error", on="credits", times=None)

    with pytest.raises(errors.ServerError):
        await patient.credits()
    assert sent(evolink_emulator)["credits"] == 4


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
async def test_a_refused_read_is_not_repeated(
    patient: EvoLinkClient, evolink_emulator: EmulatorHandle, status: int
) -> None:
    """What would be refused again is asked once."""
    evolink_emulator.control.inject("refused", on="read", times=None, status=status)

    with pytest.raises(errors.ApiError):
        await patient.generation(UNKNOWN_ID)
    assert sent(evolink_emulator)["read"] == 1


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        *((fault, options) for fault, options in PASSING if fault != "rate_limit"),
        ("refused", {"status": 400}),
        ("refused", {"status": 401}),
        ("refused", {"status": 402}),
        ("refused", {"status": 403}),
        ("refused", {"status": 409}),
        ("redirect", {"status": 307}),
        ("wrong_shape", {}),
    ],
)
async def test_a_submission_is_never_repeated(
    patient: EvoLinkClient, evolink_emulator: EmulatorHandle, fault: str, options: dict[str, Any]
) -> None:
    """Whatever came of a submission, only the ledger may send it again."""
    evolink_emulator.control.inject(fault, on="submit", times=None, **options)

    with pytest.raises(errors.EvoLinkError):
        await submit(patient)
    assert sent(evolink_emulator)["submit"] == 1


async def test_a_submission_turned_away_is_repeated(patient: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """429 means that nothing was done, so the same is sent again."""
    evolink_emulator.control.inject("rate_limit", on="submit", times=3, retry_after=0)

    made = await submit(patient)

    assert sent(evolink_emulator)["submit"] == 4
    assert [one["id"] for one in evolink_emulator.control.state()["generations"]] == [made.generation.id]


async def test_a_submission_that_never_left_is_repeated(unused_tcp_port: int) -> None:
    """Where nobody listens nothing is paid: tried four times, then told as never sent."""
    settings = Settings(base_url=f"http://127.0.0.1:{unused_tcp_port}", api_key="sk-planted-key-4711")
    pauses: list[int] = []
    async with EvoLinkClient(settings, attempts=4) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: pauses.append(1) or 0.0)
            with pytest.raises(errors.NotSentError, match=r"never left.*retry is safe"):
                await submit(client)
    assert len(pauses) == 4


async def test_retry_after_is_obeyed(patient: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The server's own figure counts, not ours."""
    evolink_emulator.control.inject("rate_limit", on="credits", retry_after=0.6)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await patient.credits()

    assert 0.6 <= loop.time() - began < 5


# How many, and where to


async def test_at_most_eight_in_flight() -> None:
    """A hundred reads at once share eight connections, which are kept; no request queues in the pool."""
    busy: list[int] = []

    async def slow(asked: Asked, write: Write) -> None:
        busy.append(1)
        assert len(busy) <= MAX_CONNECTIONS
        await asyncio.sleep(0.01)
        busy.pop()
        await write(whole({"id": asked.target.rpartition("/")[2], "status": "processing"}))

    ids = [f"task-unified-{number:04}" for number in range(100)]
    with serving(slow) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            found = await asyncio.gather(*map(client.generation, ids))

    assert [one.id for one in found] == ids
    assert (server.most_open, server.connections) == (MAX_CONNECTIONS, MAX_CONNECTIONS)
    assert server.open == 0


async def test_a_proxy_of_the_environment_does_not_see_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is meant for this machine does not leave it, whatever the environment says."""
    with serving(always({})) as proxy, serving(always(CREDITS)) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with EvoLinkClient(settings_for(server)) as client:
            await client.credits()

    assert (len(server.asked), proxy.connections) == (1, 0)


async def test_a_proxy_of_the_connection_is_used() -> None:
    """A proxy that the connection names is asked for the API's address."""
    with serving(always(CREDITS)) as proxy:
        settings = Settings(base_url="http://localhost:9", api_key="sk-planted-key-4711", proxy=proxy.url)
        async with EvoLinkClient(settings) as client:
            await client.credits()

    assert proxy.asked[0].target == "http://localhost:9/v1/credits"


@pytest.mark.parametrize(
    "changes", [{"proxy": "nonsense://user:sk-planted-key-4711@x"}, {"verify": "/no/such/bundle.pem"}]
)
def test_settings_that_cannot_be_used(changes: dict[str, Any]) -> None:
    """A proxy or CA bundle that can't be used is told without what it says, before anything is sent."""
    with pytest.raises(errors.ConfigurationError, match=r"(verify|proxy) .* Nothing was sent") as caught:
        EvoLinkClient(Settings(api_key="sk-planted-key-4711", **changes))
    assert "planted" not in repr(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """A redirect, even to the same host, is an answer that is none: the key goes nowhere else."""
    with serving(always({})) as elsewhere, serving(always({}, status, Location=f"{elsewhere.url}/v1/x")) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            with pytest.raises(errors.MalformedAnswerError, match=str(status)):
                await client.credits()
            with pytest.raises(errors.MalformedAnswerError, match=str(status)):
                await submit(client)

    assert len(server.asked) == 2
    assert elsewhere.connections == 0


async def test_a_redirect_loop_is_not_followed() -> None:
    """A redirect to itself is asked once."""
    with serving(always({}, 302, Location="/v1/credits")) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            with pytest.raises(errors.MalformedAnswerError):
                await client.credits()
    assert len(server.asked) == 1


async def test_run_works_inside_a_loop(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """The synchronous face may be used where a loop is already running."""

    async def ask() -> Any:
        async with EvoLinkClient(settings_for(evolink_emulator)) as other:
            return await other.credits()

    assert run(ask).account_remaining == 1000


# The key

ECHOES: dict[str, bytes] = {
    "error": whole({"error": {"code": "sk-planted-key-4711", "message": "bad sk-planted-key-4711"}}, 401),
    "type": whole({"error": {"message": "x", "type": "sk-planted-key-4711"}}, 500),
    "page": whole(b"<html>Bearer sk-planted-key-4711</html>", 403),
    "request id": whole({"error": {"message": "x"}}, 402, X_Request_Id="sk-planted-key-4711"),
    "failed generation": whole(
        {"id": UNKNOWN_ID, "status": "failed", "error": {"code": "x", "message": "by sk-planted-key-4711"}}
    ),
    "other id": whole({"id": "sk-planted-key-4711", "status": "pending"}),
    "no HTTP": b"sk-planted-key-4711 sk-planted-key-4711\r\n\r\n",
}


@pytest.mark.parametrize("echo", ECHOES)
async def test_the_key_is_in_no_text(echo: str) -> None:
    """A server that echoes the key does not get it into an error, a value or a representation."""

    async def answer(asked: Asked, write: Write) -> None:
        await write(ECHOES[echo])

    told: list[object] = []
    with serving(answer, hangs_up=True) as server:
        settings = settings_for(server, timeout=1, submit_timeout=1)
        async with EvoLinkClient(settings) as client:
            told += [client, settings]
            for call in CALLS.values():
                try:
                    told.append(await call(client))
                except errors.EvoLinkError as error:
                    told += [error, error.__dict__, "".join(traceback.format_exception(error))]

    assert len(told) >= 5
    assert all("planted" not in f"{one} {one!r}" for one in told)
