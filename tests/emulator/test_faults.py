# SPDX-License-Identifier: Apache-2.0
"""Faults fire on the endpoints, at the time and as often as requested, and do what their names promise."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import httpx
import pytest

from airflow_provider_evolink.emulator.client import ControlError
from airflow_provider_evolink.emulator.faults.kinds import ENDPOINTS, FAULT_KINDS
from airflow_provider_evolink.emulator.faults.registry import FaultRegistry
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.emulator.state.backend import Backend

# an undocumented model: none of the documented ones makes images this small and this fast
IMAGE = {"model": "small-image-1", "size": "64x64"}


def get_credits(api) -> httpx.Response:
    """Send a harmless request."""
    return api.http.get("/v1/credits")


def test_fault_fires_as_often_as_requested(api):
    """A fault fires `times` times; None lasts until the next reset."""
    api.control.inject("server_error", times=2)
    assert [get_credits(api).status_code for _ in range(3)] == [500, 500, 200]
    api.control.inject("server_error", times=None, status=503)
    assert [get_credits(api).status_code for _ in range(3)] == [503, 503, 503]
    api.control.reset()
    assert get_credits(api).status_code == 200


def test_fault_lets_requests_pass_first(api):
    """With `after`, that many matching requests pass before the fault fires."""
    api.control.inject("server_error", "credits", after=2)
    assert [get_credits(api).status_code for _ in range(4)] == [200, 200, 500, 200]


def test_fault_fires_with_a_probability():
    """With `probability`, a fault fires on about that share of requests, and on the same ones for the same seed."""
    faults, same = FaultRegistry(random.Random(7)), FaultRegistry(random.Random(7))
    for registry in (faults, same):
        registry.inject("connection_reset", "read", None, 0, {}, probability=0.2)
    fired = [faults.fire("read", "response") is not None for _ in range(1000)]
    assert 150 < sum(fired) < 250
    assert fired == [same.fire("read", "response") is not None for _ in range(1000)]


def test_faults_with_a_probability_share_the_requests(api):
    """Requests that one fault spares go to the next, and the state counts how often each has fired."""
    api.control.inject("server_error", "credits", None, probability=0.5)
    api.control.inject("rate_limit", "credits", None, probability=0.5)
    statuses = Counter(get_credits(api).status_code for _ in range(100))
    counts = {fault["name"]: (fault["probability"], fault["fired"]) for fault in api.control.state()["faults"]}
    assert counts == {"server_error": (0.5, statuses[500]), "rate_limit": (0.5, statuses[429])}
    assert statuses.keys() == {200, 429, 500}


def test_the_seed_makes_faults_reproducible():
    """In two emulators with the same seed, faults fire on the same requests."""

    def fired(seed: int) -> list[bool]:
        faults = Backend(Settings(seed=seed)).faults
        faults.inject("connection_reset", "read", None, 0, {}, probability=0.5)
        return [faults.fire("read", "response") is not None for _ in range(64)]

    assert fired(1) == fired(1) != fired(2)


def test_fault_fires_on_one_endpoint_only(api):
    """With `on`, a fault fires on that endpoint only."""
    api.control.inject("server_error", "models")
    assert get_credits(api).status_code == 200
    assert api.http.get("/v1/models").status_code == 500


@pytest.mark.parametrize(
    "arguments",
    [
        {"fault": "nonsense"},
        {"fault": "truncated_media", "on": "submit"},
        {"fault": "generation_stalled", "on": "read"},
        {"fault": "html_response", "on": "nowhere"},
        {"fault": "rate_limit", "seconds": 1},
        {"fault": "connection_reset", "probability": 0},
        {"fault": "connection_reset", "probability": 1.5},
    ],
)
def test_impossible_faults_are_rejected(api, arguments):
    """A fault that could never fire is rejected with a reason, so that no test waits for it in vain."""
    with pytest.raises(ControlError, match=arguments["fault"]):
        api.control.inject(**arguments)


@pytest.mark.parametrize(
    ("name", "endpoint"), [(name, on) for name, kind in FAULT_KINDS.items() for on in sorted(kind.endpoints)]
)
def test_every_fault_fires_on_each_of_its_endpoints(name, endpoint):
    """Each kind of fault fires exactly once on each of its endpoints, in its stage."""
    faults = FaultRegistry()
    faults.inject(name, endpoint, 1, 0, {})
    fired = [faults.fire(on, FAULT_KINDS[name].stage) for on in sorted(ENDPOINTS) for _ in range(2)]
    assert [fault.name for fault in fired if fault] == [name]


def test_rate_limit_may_have_a_retry_after(api):
    """rate_limit gives 429, with Retry-After on request, and processes nothing."""
    api.control.inject("rate_limit", "submit", retry_after=7)
    response = api.post()
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json()["error"]["type"] == "rate_limit_error"
    api.control.inject("rate_limit", "credits")
    assert "retry-after" not in get_credits(api).headers
    assert api.control.state()["generations"] == []


@pytest.mark.parametrize(("fault", "processed"), [("lost_response", 1), ("connection_reset", 0)])
def test_connections_break_before_or_after_processing(api, fault, processed):
    """lost_response breaks the connection after the submission took effect, connection_reset before."""
    api.control.inject(fault, "submit")
    with pytest.raises(httpx.TransportError):
        api.post()
    assert len(api.control.state()["generations"]) == processed


@pytest.mark.parametrize("fault", ["server_error", "html_response", "redirect", "rate_limit", "http_error"])
@pytest.mark.parametrize("processed", [True, False])
def test_responses_can_be_replaced_before_or_after_processing(api, fault, processed):
    """The option `processed` decides whether the request takes effect before its response is replaced."""
    api.control.inject(fault, "submit", processed=processed)
    assert "task-unified" not in api.post().text
    assert len(api.control.state()["generations"]) == int(processed)


def test_error_messages_can_be_replaced(api):
    """With `message`, http_error has the given message, such as one that echoes an API key."""
    api.control.inject("http_error", status=401, message="Token sk-1234 is unknown")
    response = get_credits(api)
    assert response.status_code == 401
    assert response.json()["error"]["message"] == "Token sk-1234 is unknown"


def test_responses_can_be_unparsable(api):
    """html_response is a web page with 200, malformed_json is cut off, unexpected_json is any other JSON."""
    api.control.inject("html_response")
    page = get_credits(api)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    api.control.inject("malformed_json")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        get_credits(api).json()
    api.control.inject("unexpected_json", body={"data": "no"})
    assert get_credits(api).json() == {"data": "no"}


def test_responses_can_be_slow(api):
    """slow_response delays the response."""
    api.control.inject("slow_response", seconds=0.3)
    start = time.monotonic()
    assert get_credits(api).status_code == 200
    assert time.monotonic() - start >= 0.3


def test_responses_can_be_endless(api):
    """endless_body lasts until the client disconnects, and the emulator goes on serving."""
    api.control.inject("endless_body")
    with api.http.stream("GET", "/v1/credits") as response:
        received = 0
        for chunk in response.iter_raw():
            received += len(chunk)
            if received > 1_000_000:
                break
    assert get_credits(api).status_code == 200


def test_redirects_lead_anywhere(api):
    """Redirect sends a client to any location, such as one in a private network."""
    link = api.link("image", **IMAGE)
    api.control.inject("redirect", "media", location="http://10.0.0.1/secret")
    response = api.http.get(link)
    assert (response.status_code, response.headers["location"]) == (302, "http://10.0.0.1/secret")


def test_batch_can_be_unsupported(api):
    """batch_unsupported responds as a gateway without the batch endpoint does."""
    api.control.inject("batch_unsupported")
    response = api.http.post("/v1/tasks/batch", json={"task_ids": ["task-unified-1-abcdefgh"]})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_media_can_be_truncated(api):
    """truncated_media has the content length of the whole file, and sends half of it."""
    link = api.link("image", **IMAGE)
    whole = api.http.get(link).content
    api.control.inject("truncated_media")
    received: list[bytes] = []
    with api.http.stream("GET", link) as response:
        assert response.headers["content-length"] == str(len(whole))
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(response.iter_raw())
    assert b"".join(received) == whole[: len(whole) // 2]


def test_media_can_be_corrupt(api):
    """corrupt_media has the right length and wrong bytes from a given position on."""
    link = api.link("image", **IMAGE)
    whole = api.http.get(link).content
    api.control.inject("corrupt_media")
    corrupt = api.http.get(link).content
    assert len(corrupt) == len(whole)
    assert corrupt[:8] != whole[:8]
    api.control.inject("corrupt_media", from_byte=8)
    assert api.http.get(link).content[:8] == whole[:8]


def test_media_can_be_gone_or_without_ranges(api):
    """expired_link gives an error page; range_unsupported gives the whole file despite a range."""
    link = api.link("image", **IMAGE)
    api.control.inject("expired_link", status=404)
    assert api.http.get(link).status_code == 404
    api.control.inject("range_unsupported")
    response = api.http.get(link, headers={"Range": "bytes=0-9"})
    assert response.status_code == 200
    assert "accept-ranges" not in response.headers


def test_requests_are_counted(api):
    """The state counts requests by endpoint, including those that faults fired on, without control requests."""
    api.control.inject("connection_reset", "credits")
    with pytest.raises(httpx.TransportError):
        get_credits(api)
    get_credits(api)
    api.submit()
    counts = api.control.state()["requests"]
    assert {name: count for name, count in counts.items() if count} == {"total": 3, "credits": 2, "submit": 1}
    assert counts.keys() == ENDPOINTS | {"total"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("clock", {"speed": 0}),
        ("clock", {"speed": float("1e999")}),
        ("clock", {"advance": -1}),
        ("clock", {"pace": 1}),
        ("settings", {"link_ttl": "long"}),
        ("faults", []),
        ("faults", {"name": "slow_response", "options": 3}),
        ("faults", {"name": "slow_response", "times": "often"}),
        ("faults", {"name": "slow_response", "probability": "rarely"}),
    ],
)
def test_invalid_control_requests_are_rejected(api, path, body):
    """An invalid control request gets a 400 with a reason."""
    response = api.http.post(f"/_emulator/{path}", content=json.dumps(body))
    assert response.status_code == 400
    assert response.json()["error"]
