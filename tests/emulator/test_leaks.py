"""Keys are noticed wherever they show up but in the one place that is for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_evolink.emulator.leaks import Leaks
from airflow_provider_evolink.emulator.settings import DEFAULT_KEY

# No documented model makes pictures as small, and as quickly.
IMAGE = {"model": "small-image-1", "size": "64x64"}
Ask = Callable[[Any], object]


def test_the_right_place_is_no_leak(api):
    """What a client does all day leaks nothing."""
    link = api.link("image", **IMAGE)
    httpx.get(link, trust_env=False)
    assert api.control.state()["leaked_keys"] == 0
    assert api.control.state()["leaks"] == {}


@pytest.mark.parametrize(
    ("where", "ask"),
    [
        ("url", lambda api: api.http.get(f"/v1/credits?key={DEFAULT_KEY}")),
        ("url", lambda api: api.http.get(f"/v1/{DEFAULT_KEY.replace('-', '%2d')}/credits")),
        ("url", lambda api: api.http.get(f"/media/{quote(DEFAULT_KEY)}.mp4", headers={"Authorization": ""})),
        ("header x-api-key", lambda api: api.http.get("/v1/credits", headers={"X-Api-Key": DEFAULT_KEY})),
        ("header referer", lambda api: api.http.get("/nowhere", headers={"Referer": f"http://a/?k={DEFAULT_KEY}"})),
        ("body", lambda api: api.post(prompt=f"a lighthouse, {DEFAULT_KEY}")),
        ("body", lambda api: api.http.post("/v1/tasks/batch", json={"task_ids": [DEFAULT_KEY]})),
    ],
)
def test_a_key_out_of_place_is_counted_by_its_place(api, where: str, ask: Ask):
    """In the path, the query, another header or the body, on any path, it is a leak and says where."""
    ask(api)
    assert where in api.control.state()["leaks"]
    assert api.control.state()["leaked_keys"] >= 1


def test_media_hosts_get_no_key_at_all(api):
    """An Authorization header on a media request is a leak, whatever it holds."""
    link = api.link("image", **IMAGE)
    httpx.get(link, headers={"Authorization": "Bearer something"}, trust_env=False)
    assert api.control.state()["leaks"] == {"header authorization": 1}


def test_a_refused_key_is_a_secret_too(api):
    """A key that this emulator does not take is looked for as well: it may be good elsewhere."""
    wrong = "sk-of-another-account"
    answer = api.http.get(f"/v1/credits?key={wrong}", headers={"Authorization": f"Bearer {wrong}"})
    assert answer.status_code == 401
    assert api.control.state()["leaks"] == {"url": 1}


@pytest.mark.parametrize("cut", [1, 7, len(DEFAULT_KEY) - 1])
async def test_a_key_across_two_pieces_of_a_body_is_seen(cut: int):
    """However a body is cut into pieces, a key in it is found, once."""
    leaks, pieces = Leaks([DEFAULT_KEY]), asyncio.Queue[bytes]()
    for piece in (b"{", DEFAULT_KEY[:cut].encode(), DEFAULT_KEY[cut:].encode(), b"}"):
        pieces.put_nowait(piece)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await pieces.get(), "more_body": True}

    scope = {"headers": [], "raw_path": b"/v1/credits", "query_string": b""}
    watched = leaks.watch(scope, receive, takes_key=True)
    received = [await watched() for _ in range(4)]

    assert b"".join(message["body"] for message in received).decode() == f"{{{DEFAULT_KEY}}}"
    assert leaks.found == {"body": 1}
