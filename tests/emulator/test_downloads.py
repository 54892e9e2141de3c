# SPDX-License-Identifier: Apache-2.0
"""The media host: whole files, byte ranges, and links that expire."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.media import byte_ranges

# an undocumented model: none of the documented ones makes images this small and this fast
IMAGE = {"model": "small-image-1", "size": "64x64"}


@pytest.fixture
def anonymous():
    """A client without an API key."""
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client


def test_results_are_public(api, anonymous):
    """A result needs no API key, and has type, length, ETag and Accept-Ranges; HEAD has the same length."""
    link = api.link("image", **IMAGE)
    response = anonymous.get(link)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"]
    head = anonymous.head(link)
    assert head.headers["content-length"] == str(len(response.content))
    assert head.content == b""


def test_ranges_are_served(api, anonymous):
    """A range gets 206 with the right bytes, an unsatisfiable one 416, an unknown unit the whole file."""
    link = api.link("image", **IMAGE)
    whole = anonymous.get(link).content
    size = len(whole)
    for header, expected in (("bytes=0-9", whole[:10]), ("bytes=10-", whole[10:]), ("bytes=-5", whole[-5:])):
        part = anonymous.get(link, headers={"Range": header})
        assert (part.status_code, part.content) == (206, expected)
    assert anonymous.get(link, headers={"Range": "bytes=10-19"}).headers["content-range"] == f"bytes 10-19/{size}"
    beyond = anonymous.get(link, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert anonymous.get(link, headers={"Range": "lines=1-2"}).content == whole


def test_if_range_must_match(api, anonymous):
    """A range is honored only if If-Range has the file's ETag."""
    link = api.link("image", **IMAGE)
    etag = anonymous.get(link).headers["etag"]
    assert anonymous.get(link, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert anonymous.get(link, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200


@given(st.integers(1, 100), st.text("bytes=-0123456789, ", max_size=20) | st.from_regex(r"bytes=\d{0,3}-\d{0,3}"))
def test_any_range_is_inside_the_file(size, header):
    """Any header gives the whole file, a range inside the file, or an error."""
    try:
        part = byte_ranges.parse_range(header, size)
    except byte_ranges.UnsatisfiableRangeError:
        return
    assert part is None or (len(part) > 0 and 0 <= part.start < part.stop <= size)


def test_links_expire(api, anonymous):
    """An expired link gets 410 with a web page, as from media hosts; an unknown path gets 404."""
    link = api.link("image", **IMAGE)
    assert anonymous.get(link).status_code == 200
    api.control.set_link_ttl(0)
    response = anonymous.get(link)
    assert response.status_code == 410
    assert response.headers["content-type"].startswith("text/html")
    api.control.set_link_ttl(None)
    assert anonymous.get(link).status_code == 200
    assert anonymous.get(link + "x").status_code == 404


def test_links_live_as_long_as_documented(api, anonymous):
    """A link expires after the 24 h documented for the model."""
    link = api.link("image", **IMAGE)
    api.control.advance(22 * 3600)
    assert anonymous.get(link).status_code == 200
    api.control.advance(2 * 3600)
    assert anonymous.get(link).status_code == 410


def test_nothing_is_served_before_completion(api, anonymous):
    """The path of a result gets 404 if no completed generation has it."""
    link = api.link("image", **IMAGE)
    api.control.reset()
    assert anonymous.get(link).status_code == 404


def test_uploads_are_served(api, anonymous, picture):
    """An uploaded file is served at both of its links."""
    stored = api.http.post("/api/v1/files/upload/stream", files={"file": ("a.png", picture)}).json()["data"]
    for link in (stored["file_url"], stored["download_url"]):
        response = anonymous.get(link)
        assert (response.content, response.headers["content-type"]) == (picture, "image/png")


@pytest.mark.parametrize("body", [{}, {"base64_data": "!"}, {"base64_data": "bm90IGFuIGltYWdl"}])
def test_unsupported_uploads_are_rejected(api, body):
    """An upload that is not base64, or not of a supported type, gets a 400 in the shape of the files API."""
    response = api.http.post("/api/v1/files/upload/base64", json=body)
    assert response.status_code == 400
    assert response.json()["success"] is False
