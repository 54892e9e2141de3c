# SPDX-License-Identifier: Apache-2.0
"""API keys are detected everywhere but in the Authorization header of a request that requires one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY
from airflow_provider_evolink.emulator.state.api_key_leaks import ApiKeyLeaks

# an undocumented model: none of the documented ones makes images this small and this fast
IMAGE = {"model": "small-image-1", "size": "64x64"}
Send = Callable[[Any], object]


def test_normal_requests_leak_nothing(api):
    """A submission, a query and a download by the rules count as no leak."""
    link = api.link("image", **IMAGE)
    httpx.get(link, trust_env=False)
    assert api.control.state()["api_key_leak_count"] == 0
    assert api.control.state()["api_key_leaks"] == {}


@pytest.mark.parametrize(
    ("location", "send"),
    [
        ("url", lambda api: api.http.get(f"/v1/credits?key={DEFAULT_API_KEY}")),
        ("url", lambda api: api.http.get(f"/v1/{DEFAULT_API_KEY.replace('-', '%2d')}/credits")),
        ("url", lambda api: api.http.get(f"/media/{quote(DEFAULT_API_KEY)}.mp4", headers={"Authorization": ""})),
        ("header x-api-key", lambda api: api.http.get("/v1/credits", headers={"X-Api-Key": DEFAULT_API_KEY})),
        ("header referer", lambda api: api.http.get("/nowhere", headers={"Referer": f"http://a/?k={DEFAULT_API_KEY}"})),
        ("body", lambda api: api.post(prompt=f"a lighthouse, {DEFAULT_API_KEY}")),
        ("body", lambda api: api.http.post("/v1/tasks/batch", json={"task_ids": [DEFAULT_API_KEY]})),
    ],
)
def test_leaks_are_counted_by_location(api, location: str, send: Send):
    """An API key in the path, the query, another header or the body is a leak, on any path."""
    send(api)
    assert location in api.control.state()["api_key_leaks"]
    assert api.control.state()["api_key_leak_count"] >= 1


def test_media_hosts_must_get_no_authorization(api):
    """An Authorization header on a media request is a leak, whatever its value."""
    link = api.link("image", **IMAGE)
    httpx.get(link, headers={"Authorization": "Bearer something"}, trust_env=False)
    assert api.control.state()["api_key_leaks"] == {"header authorization": 1}


def test_a_rejected_api_key_is_a_secret_too(api):
    """An API key that this emulator rejects is searched for as well, since it may be valid elsewhere."""
    wrong = "sk-of-another-account"
    response = api.http.get(f"/v1/credits?key={wrong}", headers={"Authorization": f"Bearer {wrong}"})
    assert response.status_code == 401
    assert api.control.state()["api_key_leaks"] == {"url": 1}


@pytest.mark.parametrize("cut", [1, 7, len(DEFAULT_API_KEY) - 1])
async def test_an_api_key_split_between_chunks_is_found(cut: int):
    """An API key in a body is found, once, however the body is split into chunks."""
    leaks, chunks = ApiKeyLeaks([DEFAULT_API_KEY]), asyncio.Queue[bytes]()
    for chunk in (b"{", DEFAULT_API_KEY[:cut].encode(), DEFAULT_API_KEY[cut:].encode(), b"}"):
        chunks.put_nowait(chunk)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await chunks.get(), "more_body": True}

    scope = {"headers": [], "raw_path": b"/v1/credits", "query_string": b""}
    inspected = leaks.inspect(scope, receive, requires_api_key=True)
    received = [await inspected() for _ in range(4)]

    assert b"".join(message["body"] for message in received).decode() == f"{{{DEFAULT_API_KEY}}}"
    assert leaks.found == {"body": 1}
