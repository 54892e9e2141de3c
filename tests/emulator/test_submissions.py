# SPDX-License-Identifier: Apache-2.0
"""Submissions: what is accepted, what is rejected, and that an idempotency key pays once."""

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
def test_invalid_parameters_are_rejected_by_name(api, body, param):
    """An undocumented value gets a 400 that names the parameter, and reserves nothing."""
    response = api.post(**body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert api.control.state()["credits"]["reserved"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b"{}", b"[" * 100_000])
def test_malformed_bodies_are_rejected(api, body):
    """Anything but a JSON object with a model gets a 400."""
    response = api.http.post("/v1/videos/generations", content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_oversized_body_is_rejected_unread(api):
    """A content length beyond the documented 64 MB gets a 413 before the body is read."""
    connection = http.client.HTTPConnection(api.http.base_url.netloc.decode())
    connection.putrequest("POST", "/v1/videos/generations")
    connection.putheader("Authorization", api.http.headers["Authorization"])
    connection.putheader("Content-Length", str(65 * 1024 * 1024))
    connection.endheaders()
    with closing(connection):
        assert connection.getresponse().status == 413


def test_undocumented_model_is_accepted(api):
    """An undocumented model is accepted, since the documentation is never complete."""
    generation_id = api.submit(model="brand-new-video-model", whatever=[1])
    assert api.read(generation_id)["model"] == "brand-new-video-model"


@pytest.mark.parametrize("form", ["data:image/png;base64,{}", "{}"])
def test_picture_in_the_request_is_accepted(api, picture, form):
    """A picture is accepted as a data URL and as plain base64."""
    api.submit(model=I2V, image_urls=[form.format(base64.b64encode(picture).decode())])


def test_link_to_an_upload_is_accepted(api, picture):
    """A link of the files API is accepted, although it has a loopback address here."""
    encoded = base64.b64encode(picture).decode()
    upload = api.http.post("/api/v1/files/upload/base64", json={"base64_data": encoded}).json()["data"]
    api.submit(model=I2V, image_urls=[upload["file_url"]])


def test_link_to_a_result_is_accepted(api):
    """An image of the emulator can be submitted by its link, and a callback URL may be local."""
    link = api.link("image", model="gpt-image-2", size="1024x1536")
    generation_id = api.submit(
        model=I2V, image_urls=[link], aspect_ratio="auto", callback_url="http://127.0.0.1:9/hook"
    )
    api.finish()
    assert api.read(generation_id)["status"] == "completed"
    assert api.control.state()["callbacks"][0]["url"] == "http://127.0.0.1:9/hook"


def test_dead_links_to_itself_fail_in_processing(api):
    """A dead or expired link to the emulator is accepted, and then fails the generation."""
    api.control.set_link_ttl(0)
    expired = api.link("image", model="gpt-image-2")
    for link in (expired, f"{api.http.base_url}/media/uploads/images/none.png"):
        generation_id = api.submit(model=I2V, image_urls=[link])
        api.finish()
        assert api.read(generation_id)["error"]["code"] == "image_processing_error"


def test_undecodable_picture_fails_in_processing(api, picture):
    """An undecodable picture is accepted, then fails with image_processing_error without a charge."""
    broken = base64.b64encode(picture[:40] + b"\0" * 100).decode()
    generation_id = api.submit(model=I2V, image_urls=[broken])
    api.finish()
    assert api.read(generation_id)["error"]["code"] == "image_processing_error"
    assert api.control.state()["credits"]["charged"] == 0


def test_repeated_request_is_replayed(api):
    """The same idempotency key and body gets the first response, marked as replayed, and starts nothing new."""
    first, again = api.post(key=KEY), api.post(key=KEY)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    state = api.control.state()
    assert [generation["idempotency_key"] for generation in state["generations"]] == [KEY]


def test_same_idempotency_key_for_another_request_is_a_conflict(api):
    """The same idempotency key with another body gets 409 idempotency_conflict."""
    api.submit(key=KEY)
    response = api.post(key=KEY, duration=4)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize("key", ["too-short", "x" * 97, "with spaces in the middle"])
def test_malformed_idempotency_key_is_rejected(api, key):
    """Only idempotency keys of 16 to 96 characters of A-Za-z0-9._- are accepted."""
    response = api.post(key=key)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_rejected_request_frees_its_idempotency_key(api):
    """After a 400, the idempotency key is free for the corrected request."""
    assert api.post(key=KEY, duration=99).status_code == 400
    assert api.post(key=KEY, duration=9).status_code == 200


def test_idempotency_key_of_a_pending_request_is_busy(api):
    """While a request is being accepted, another with its idempotency key gets 409 paid_outcome_unknown."""
    api.control.inject("slow_acceptance", seconds=4)
    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(lambda _: api.post(key=KEY), range(2)))
    accepted, busy = sorted(responses, key=lambda response: response.status_code)

    assert (accepted.status_code, busy.status_code) == (200, 409)
    assert busy.json()["error"]["code"] == "paid_outcome_unknown"
    assert api.post(key=KEY).headers["idempotency-replayed"] == "true"


def test_idempotency_keys_can_be_ignored(api):
    """With the fault ignore_idempotency, the same idempotency key pays again."""
    api.submit(key=KEY)
    api.control.inject("ignore_idempotency")
    response = api.post(key=KEY)
    assert "idempotency-replayed" not in response.headers
    assert len(api.control.state()["generations"]) == 2


def test_idempotency_key_recovers_a_lost_response(api):
    """After a lost reply the generation exists, and the same idempotency key replays its response."""
    api.control.inject("lost_response", "submit")
    with pytest.raises(httpx.TransportError):
        api.post(key=KEY)
    (generation,) = api.control.state()["generations"]
    again = api.post(key=KEY)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["id"] == generation["id"]


def test_callbacks_are_recorded_and_never_sent(api):
    """The callback that EvoLink would send is in the state, once, with the body of a query."""
    generation_id = api.submit(callback_url="https://example.com/hook?secret=1")
    assert api.control.state()["callbacks"] == []
    api.finish()
    expected = [{"url": "https://example.com/hook?secret=1", "body": api.read(generation_id)}]
    assert api.control.state()["callbacks"] == expected
