# SPDX-License-Identifier: Apache-2.0
"""Submissions: what is accepted, what is refused, and that a key pays once."""

from __future__ import annotations

import base64
import http.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

I2V = "gemini-omni-flash-image-to-video"
KEY = "run_0123456789abcdef"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": "gpt-image-2"}, "model"),
        ({"duration": 11}, "duration"),
        ({"duration": "long"}, "duration"),
        ({"prompt": ""}, "prompt"),
        ({"aspect_ratio": "1:1"}, "aspect_ratio"),
        ({"callback_url": "http://example.com/hook"}, "callback_url"),
        ({"callback_url": "https://10.0.0.1/hook"}, "callback_url"),
        ({"model": I2V}, "image_urls"),
        ({"model": I2V, "image_urls": ["https://a.example/1.png", "https://a.example/2.png"]}, "image_urls"),
        ({"model": I2V, "image_urls": ["http://10.0.0.1/private.png"]}, "image_urls[0]"),
        ({"model": I2V, "image_urls": ["data:image/png;base64,bm9uZQ=="]}, "image_urls[0]"),
    ],
)
def test_wrong_parameters_are_refused_by_name(api, body, param):
    """What the documents forbid gets a 400 that names the parameter, and reserves nothing."""
    response = api.post(**body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert api.control.state()["credits"]["reserved"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b"{}", b"[" * 100_000])
def test_bodies_that_are_no_request_are_refused(api, body):
    """What is no JSON object with a model gets a 400."""
    response = api.http.post("/v1/videos/generations", content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_too_large_body_is_refused_unread(api):
    """More than the documented 64 MB gets a 413 by its announced length."""
    connection = http.client.HTTPConnection(api.http.base_url.netloc.decode())
    connection.putrequest("POST", "/v1/videos/generations")
    connection.putheader("Authorization", api.http.headers["Authorization"])
    connection.putheader("Content-Length", str(65 * 1024 * 1024))
    connection.endheaders()
    with closing(connection):
        assert connection.getresponse().status == 413


def test_undocumented_model_is_accepted(api):
    """A model the documents don't know is taken, since they are never complete."""
    generation_id = api.submit(model="brand-new-video-model", whatever=[1])
    assert api.read(generation_id)["model"] == "brand-new-video-model"


@pytest.mark.parametrize("form", ["data:image/png;base64,{}", "{}"])
def test_picture_in_the_request_is_accepted(api, picture, form):
    """A picture is taken as data URL and as bare base64."""
    api.submit(model=I2V, image_urls=[form.format(base64.b64encode(picture).decode())])


def test_uploaded_picture_is_accepted_by_its_link(api, picture):
    """A link of the files API is taken, though it points to loopback here."""
    encoded = base64.b64encode(picture).decode()
    answer = api.http.post("/api/v1/files/upload/base64", json={"base64_data": encoded}).json()
    api.submit(model=I2V, image_urls=[answer["data"]["file_url"]])


def test_results_are_accepted_by_their_links(api):
    """A picture that the emulator made can be made a video of, and a callback may be local."""
    link = api.link("image", model="gpt-image-2", size="1024x1536")
    generation_id = api.submit(
        model=I2V, image_urls=[link], aspect_ratio="auto", callback_url="http://127.0.0.1:9/hook"
    )
    api.finish()
    assert api.read(generation_id)["status"] == "completed"
    assert api.control.state()["callbacks"][0]["url"] == "http://127.0.0.1:9/hook"


def test_dead_links_of_its_own_fail_while_processed(api):
    """A link of its own that leads nowhere, or has died, is accepted, then fails for free."""
    api.control.set_link_life(0)
    dead = api.link("image", model="gpt-image-2")
    for link in (dead, f"{api.http.base_url}/media/uploads/images/none.png"):
        generation_id = api.submit(model=I2V, image_urls=[link])
        api.finish()
        assert api.read(generation_id)["error"]["code"] == "image_processing_error"


def test_undecodable_picture_fails_while_processed(api, picture):
    """A picture that only begins like one is accepted, then fails with image_processing_error, for free."""
    broken = base64.b64encode(picture[:40] + b"\0" * 100).decode()
    generation_id = api.submit(model=I2V, image_urls=[broken])
    api.finish()
    assert api.read(generation_id)["error"]["code"] == "image_processing_error"
    assert api.control.state()["credits"]["charged"] == 0


def test_same_key_and_request_is_replayed(api):
    """The same key and body again gets the first answer, marked as replayed, and nothing new is reserved."""
    first, again = api.post(key=KEY), api.post(key=KEY)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    state = api.control.state()
    assert [generation["idempotency_key"] for generation in state["generations"]] == [KEY]


def test_same_key_for_another_request_is_a_conflict(api):
    """The same key with another body gets 409 idempotency_conflict."""
    api.submit(key=KEY)
    response = api.post(key=KEY, duration=4)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize("key", ["too-short", "x" * 97, "with spaces in the middle"])
def test_malformed_key_is_refused(api, key):
    """Only keys of 16 to 96 of A-Za-z0-9._- are taken."""
    response = api.post(key=key)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_refused_request_does_not_use_its_key_up(api):
    """After a refusal, the key is free for the mended request."""
    assert api.post(key=KEY, duration=99).status_code == 400
    assert api.post(key=KEY, duration=9).status_code == 200


def test_key_of_a_request_underway_is_busy(api):
    """While one request is still being accepted, another under its key gets 409 paid_outcome_unknown."""
    api.control.inject("slow_accept", seconds=4)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: api.post(key=KEY), range(2)))
    accepted, busy = sorted(answers, key=lambda answer: answer.status_code)

    assert (accepted.status_code, busy.status_code) == (200, 409)
    assert busy.json()["error"]["code"] == "paid_outcome_unknown"
    assert api.post(key=KEY).headers["idempotency-replayed"] == "true"


def test_keys_can_be_ignored(api):
    """With ignore_idempotency on, the same key pays again."""
    api.submit(key=KEY)
    api.control.inject("ignore_idempotency")
    response = api.post(key=KEY)
    assert "idempotency-replayed" not in response.headers
    assert len(api.control.state()["generations"]) == 2


def test_lost_reply_was_paid_and_its_key_recovers_it(api):
    """After a lost reply the generation exists, and the same key brings its answer back."""
    api.control.inject("lost_reply", "submit")
    with pytest.raises(httpx.TransportError):
        api.post(key=KEY)
    (generation,) = api.control.state()["generations"]
    again = api.post(key=KEY)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["id"] == generation["id"]


def test_callbacks_are_noted_and_never_sent(api):
    """What EvoLink would send to a callback URL is in the state, once, with the body of the query."""
    generation_id = api.submit(callback_url="https://example.com/hook?secret=1")
    assert api.control.state()["callbacks"] == []
    api.finish()
    expected = [{"url": "https://example.com/hook?secret=1", "body": api.read(generation_id)}]
    assert api.control.state()["callbacks"] == expected
