# SPDX-License-Identifier: Apache-2.0
"""Faults strike where, when and as often as they were told."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import httpx
import pytest

from airflow_provider_evolink.emulator.control import ControlError
from airflow_provider_evolink.emulator.faults import ENDPOINTS, KINDS, Faults
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.emulator.world import World

# No documented model makes pictures as small, and as quickly.
IMAGE = {"model": "small-image-1", "size": "64x64"}


def ask(api) -> httpx.Response:
    """Ask something harmless."""
    return api.http.get("/v1/credits")


def test_fault_strikes_as_often_as_told(api):
    """It strikes `times` times; None lasts until reset."""
    api.control.inject("server_error", times=2)
    assert [ask(api).status_code for _ in range(3)] == [500, 500, 200]
    api.control.inject("server_error", times=None, status=503)
    assert [ask(api).status_code for _ in range(3)] == [503, 503, 503]
    api.control.reset()
    assert ask(api).status_code == 200


def test_fault_lets_requests_pass_first(api):
    """With `after`, it counts the matching requests that go well before."""
    api.control.inject("server_error", "credits", after=2)
    assert [ask(api).status_code for _ in range(4)] == [200, 200, 500, 200]


def test_fault_strikes_by_chance():
    """With `chance`, about so many of the requests are struck, and the same ones for the same seed."""
    faults, same = Faults(random.Random(7)), Faults(random.Random(7))
    for some in (faults, same):
        some.inject("reset", "read", None, 0, {}, chance=0.2)
    struck = [faults.take("read", "answer") is not None for _ in range(1000)]
    assert 150 < sum(struck) < 250
    assert struck == [same.take("read", "answer") is not None for _ in range(1000)]


def test_faults_with_a_chance_share_the_requests(api):
    """Many faults can be active at once: what one spares goes to the next, and the state tells each one's share."""
    api.control.inject("server_error", "credits", None, chance=0.5)
    api.control.inject("rate_limit", "credits", None, chance=0.5)
    statuses = Counter(ask(api).status_code for _ in range(100))
    told = {fault["name"]: (fault["chance"], fault["struck"]) for fault in api.control.state()["faults"]}
    assert told == {"server_error": (0.5, statuses[500]), "rate_limit": (0.5, statuses[429])}
    assert statuses.keys() == {200, 429, 500}


def test_the_seed_decides_whom_chance_strikes():
    """Two emulators with the same seed strike the same requests."""

    def struck(seed: int) -> list[bool]:
        faults = World(Settings(seed=seed)).faults
        faults.inject("reset", "read", None, 0, {}, chance=0.5)
        return [faults.take("read", "answer") is not None for _ in range(64)]

    assert struck(1) == struck(1) != struck(2)


def test_fault_strikes_only_where_told(api):
    """With `on`, the endpoint is picked."""
    api.control.inject("server_error", "models")
    assert ask(api).status_code == 200
    assert api.http.get("/v1/models").status_code == 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"fault": "nonsense"},
        {"fault": "truncated_media", "on": "submit"},
        {"fault": "stall", "on": "read"},
        {"fault": "html", "on": "nowhere"},
        {"fault": "rate_limit", "seconds": 1},
        {"fault": "reset", "chance": 0},
        {"fault": "reset", "chance": 1.5},
    ],
)
def test_impossible_faults_are_refused(api, wrong):
    """A fault that cannot be is refused with a reason, so that no test waits for it in vain."""
    with pytest.raises(ControlError, match=wrong["fault"]):
        api.control.inject(**wrong)


@pytest.mark.parametrize(
    ("name", "endpoint"), [(name, on) for name, kind in KINDS.items() for on in sorted(kind.where)]
)
def test_every_fault_strikes_everywhere_it_says(name, endpoint):
    """Each kind of fault is taken exactly once at each of its endpoints, in its stage."""
    faults = Faults()
    faults.inject(name, endpoint, 1, 0, {})
    taken = [faults.take(on, KINDS[name].stage) for on in sorted(ENDPOINTS) for _ in range(2)]
    assert [fault.name for fault in taken if fault] == [name]


def test_rate_limit_tells_when_to_come_back(api):
    """rate_limit gives 429, with Retry-After if asked for; nothing is processed."""
    api.control.inject("rate_limit", "submit", retry_after=7)
    response = api.post()
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json()["error"]["type"] == "rate_limit_error"
    api.control.inject("rate_limit", "credits")
    assert "retry-after" not in ask(api).headers
    assert api.control.state()["generations"] == []


@pytest.mark.parametrize(("fault", "processed"), [("lost_reply", 1), ("reset", 0)])
def test_connections_break_before_or_after(api, fault, processed):
    """lost_reply breaks after the submission took effect, reset before."""
    api.control.inject(fault, "submit")
    with pytest.raises(httpx.TransportError):
        api.post()
    assert len(api.control.state()["generations"]) == processed


@pytest.mark.parametrize("fault", ["server_error", "html", "redirect", "rate_limit", "refused"])
@pytest.mark.parametrize("processed", [True, False])
def test_answers_can_be_replaced_before_or_after(api, fault, processed):
    """The option `processed` tells whether the request takes effect before its answer is replaced."""
    api.control.inject(fault, "submit", processed=processed)
    assert "task-unified" not in api.post().text
    assert len(api.control.state()["generations"]) == int(processed)


def test_refusals_can_have_words_of_their_own(api):
    """With `message`, refused says in EvoLink's place what a test wants it to say, such as an echo of a key."""
    api.control.inject("refused", status=401, message="Token sk-1234 is unknown")
    response = ask(api)
    assert response.status_code == 401
    assert response.json()["error"]["message"] == "Token sk-1234 is unknown"


def test_answers_can_be_nonsense(api):
    """With html it is 200 with a page, broken_json is cut, wrong_shape is JSON of any other kind."""
    api.control.inject("html")
    page = ask(api)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    api.control.inject("broken_json")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        ask(api).json()
    api.control.inject("wrong_shape", body={"data": "no"})
    assert ask(api).json() == {"data": "no"}


def test_answers_can_be_slow(api):
    """With slow, the answer is held back."""
    api.control.inject("slow", seconds=0.3)
    start = time.monotonic()
    assert ask(api).status_code == 200
    assert time.monotonic() - start >= 0.3


def test_answers_can_be_endless(api):
    """endless_body goes on until the client leaves, and the emulator survives that."""
    api.control.inject("endless_body")
    with api.http.stream("GET", "/v1/credits") as response:
        read = 0
        for piece in response.iter_raw():
            read += len(piece)
            if read > 1_000_000:
                break
    assert ask(api).status_code == 200


def test_redirects_lead_anywhere(api):
    """With redirect, the answer sends a client where it should not go."""
    link = api.link("image", **IMAGE)
    api.control.inject("redirect", "media", location="http://10.0.0.1/secret")
    response = api.http.get(link)
    assert (response.status_code, response.headers["location"]) == (302, "http://10.0.0.1/secret")


def test_batch_can_be_missing(api):
    """no_batch is what a gateway without the batch endpoint says."""
    api.control.inject("no_batch")
    response = api.http.post("/v1/tasks/batch", json={"task_ids": ["task-unified-1-abcdefgh"]})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_media_can_be_cut(api):
    """truncated_media announces the whole file and sends half of it."""
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
    """corrupt_media has the right length and the wrong bytes, from a given one on."""
    link = api.link("image", **IMAGE)
    whole = api.http.get(link).content
    api.control.inject("corrupt_media")
    corrupt = api.http.get(link).content
    assert len(corrupt) == len(whole)
    assert corrupt[:8] != whole[:8]
    api.control.inject("corrupt_media", from_byte=8)
    assert api.http.get(link).content[:8] == whole[:8]


def test_media_can_be_gone_or_without_ranges(api):
    """expired_link gives an error page, no_range the whole file for a part."""
    link = api.link("image", **IMAGE)
    api.control.inject("expired_link", status=404)
    assert api.http.get(link).status_code == 404
    api.control.inject("no_range")
    response = api.http.get(link, headers={"Range": "bytes=0-9"})
    assert response.status_code == 200
    assert "accept-ranges" not in response.headers


def test_requests_are_counted(api):
    """The state counts requests by endpoint, those that faults struck too; control requests are not counted."""
    api.control.inject("reset", "credits")
    with pytest.raises(httpx.TransportError):
        ask(api)
    ask(api)
    api.submit()
    counted = api.control.state()["requests"]
    assert {name: count for name, count in counted.items() if count} == {"total": 3, "credits": 2, "submit": 1}
    assert counted.keys() == ENDPOINTS | {"total"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("clock", {"factor": 0}),
        ("clock", {"factor": float("1e999")}),
        ("clock", {"advance": -1}),
        ("clock", {"speed": 1}),
        ("settings", {"link_life": "long"}),
        ("faults", []),
        ("faults", {"fault": "slow", "options": 3}),
        ("faults", {"fault": "slow", "times": "often"}),
        ("faults", {"fault": "slow", "chance": "rarely"}),
    ],
)
def test_nonsense_is_refused_by_the_control_endpoint(api, path, body):
    """What the control endpoint cannot do gets a 400 with a reason."""
    response = api.http.post(f"/_emulator/{path}", content=json.dumps(body))
    assert response.status_code == 400
    assert response.json()["error"]
