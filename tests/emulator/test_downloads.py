# SPDX-License-Identifier: Apache-2.0
"""Media hosts: whole files, parts of them, and links that die."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.emulator import ranges

# No documented model makes pictures as small, and as quickly.
IMAGE = {"model": "small-image-1", "size": "64x64"}


@pytest.fixture
def stranger():
    """A client that shows no key."""
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client


def test_file_is_served_to_anybody(api, stranger):
    """A result needs no key, and comes with type, length, ETag and Accept-Ranges; HEAD tells the same."""
    link = api.link("image", **IMAGE)
    response = stranger.get(link)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"]
    head = stranger.head(link)
    assert head.headers["content-length"] == str(len(response.content))
    assert head.content == b""


def test_parts_are_served(api, stranger):
    """Ranges give 206 with the right bytes, an impossible one 416, a nonsensical one the whole."""
    link = api.link("image", **IMAGE)
    whole = stranger.get(link).content
    size = len(whole)
    for header, expected in (("bytes=0-9", whole[:10]), ("bytes=10-", whole[10:]), ("bytes=-5", whole[-5:])):
        part = stranger.get(link, headers={"Range": header})
        assert (part.status_code, part.content) == (206, expected)
    assert stranger.get(link, headers={"Range": "bytes=10-19"}).headers["content-range"] == f"bytes 10-19/{size}"
    beyond = stranger.get(link, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert stranger.get(link, headers={"Range": "lines=1-2"}).content == whole


def test_part_of_another_version_is_the_whole(api, stranger):
    """A range is only honoured if If-Range names the file's ETag."""
    link = api.link("image", **IMAGE)
    etag = stranger.get(link).headers["etag"]
    assert stranger.get(link, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert stranger.get(link, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200


@given(st.integers(1, 100), st.text("bytes=-0123456789, ", max_size=20) | st.from_regex(r"bytes=\d{0,3}-\d{0,3}"))
def test_any_range_is_inside_the_file(size, header):
    """Whatever is asked for, the answer is the whole, a part that exists, or a refusal."""
    try:
        part = ranges.parse(header, size)
    except ranges.UnsatisfiableRangeError:
        return
    assert part is None or (len(part) > 0 and 0 <= part.start < part.stop <= size)


def test_links_die(api, stranger):
    """A dead link gives 410 with a web page, as media hosts do; uploads and other accounts' paths 404."""
    link = api.link("image", **IMAGE)
    assert stranger.get(link).status_code == 200
    api.control.set_link_life(0)
    response = stranger.get(link)
    assert response.status_code == 410
    assert response.headers["content-type"].startswith("text/html")
    api.control.set_link_life(None)
    assert stranger.get(link).status_code == 200
    assert stranger.get(link + "x").status_code == 404


def test_links_live_as_long_as_documented(api, stranger):
    """A link lives for the 24 h that are documented for the model."""
    link = api.link("image", **IMAGE)
    api.control.advance(22 * 3600)
    assert stranger.get(link).status_code == 200
    api.control.advance(2 * 3600)
    assert stranger.get(link).status_code == 410


def test_nothing_is_served_before_it_is_made(api, stranger):
    """The path of a result leads nowhere until the generation is completed."""
    link = api.link("image", **IMAGE)
    api.control.reset()
    assert stranger.get(link).status_code == 404


def test_uploads_can_be_fetched(api, stranger, picture):
    """An uploaded file comes back from both of its links."""
    stored = api.http.post("/api/v1/files/upload/stream", files={"file": ("a.png", picture)}).json()["data"]
    for link in (stored["file_url"], stored["download_url"]):
        response = stranger.get(link)
        assert (response.content, response.headers["content-type"]) == (picture, "image/png")


@pytest.mark.parametrize("body", [{}, {"base64_data": "!"}, {"base64_data": "bm90IGFuIGltYWdl"}])
def test_uploads_that_are_no_pictures_are_refused(api, body):
    """Only png, jpeg, gif and webp are taken; a refusal has the files API's own shape."""
    response = api.http.post("/api/v1/files/upload/base64", json=body)
    assert response.status_code == 400
    assert response.json()["success"] is False
