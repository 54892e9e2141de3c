# SPDX-License-Identifier: Apache-2.0
"""The files API: uploads, list, deletion, quota, and what its failures become."""

from __future__ import annotations

import io
import json
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given

from airflow_provider_evolink.api import errors, files
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.files import OutgoingFile
from airflow_provider_evolink.api.responses import RequestContext
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.transports.base import ApiRequest
from airflow_provider_evolink.api.transports.httpx_transport import HttpxTransport
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.media.spool import spool
from tests import hostile
from tests.api.calls import png, sent
from tests.loopback import always, serving, settings_for

pytestmark = pytest.mark.usefixtures("no_pauses")

NOW = datetime(2026, 11, 27, tzinfo=UTC)
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17)
LINK = "https://f.test/a.png"


def uploads(emulator: EmulatorHandle) -> list[dict[str, Any]]:
    """Return what the emulator stores."""
    found: list[dict[str, Any]] = emulator.control.state()["uploads"]
    return found


async def test_an_upload_returns_the_file(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """A file arrives complete, with its name and type, and its link lives for 72 hours."""
    file = png(PICTURE)
    uploaded = await client.files.upload(file)

    [stored] = uploads(evolink_emulator)
    assert uploaded.link.endswith(stored["file_url"])
    assert (stored["mime_type"], stored["original_name"], stored["file_size"]) == ("image/png", "a.png", file.size)
    assert (uploaded.file_id, uploaded.size, uploaded.sha256) == (stored["file_id"], file.size, file.sha256)
    assert timedelta(hours=71) < uploaded.expires_at - datetime.now(UTC) < timedelta(hours=73)


async def test_an_upload_is_retried(retrying_client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """An upload is free, so after a transient failure the complete file is sent again."""
    evolink_emulator.control.inject("server_error", on="upload", status=502)
    evolink_emulator.control.inject("connection_reset", on="upload")
    evolink_emulator.control.inject("lost_response", on="upload")

    await retrying_client.files.upload(png(PICTURE))

    assert sent(evolink_emulator)["upload"] == 4
    assert {stored["file_size"] for stored in uploads(evolink_emulator)} == {len(PICTURE)}


class _Sink(httpx.AsyncBaseTransport):
    """A network that keeps nothing but the sizes of what is sent."""

    def __init__(self) -> None:
        self.received = self.largest = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for chunk in request.stream:
            self.received += len(chunk)
            self.largest = max(self.largest, len(chunk))
        body = json.dumps({"success": True, "data": {"file_url": LINK}}).encode()
        return httpx.Response(200, stream=httpx.ByteStream(body))


class _Zeros(io.RawIOBase):
    """Sixty megabytes that nobody stores."""

    left = 60 * 2**20

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        count = min(count, self.left)
        self.left -= count
        return bytes(count)


async def test_a_large_file_takes_little_memory() -> None:
    """A file of 60 MB is read and sent in pieces."""
    settings, sink = Settings(api_key="sk-test"), _Sink()
    tracemalloc.start()
    content = spool(_Zeros, "video", "a.mp4")  # type: ignore[arg-type]
    with content.stream as stream:
        file = OutgoingFile("a.mp4", stream, content.size, "video/mp4", content.sha256)
        async with EvoLinkClient(settings, transport=HttpxTransport(settings, sink)) as client:
            await client.files.upload(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sink.received > file.size == 60 * 2**20
    assert sink.largest <= 2**20
    assert peak < 16 * 2**20


def test_a_large_file_has_time_to_arrive() -> None:
    """The time limit of an upload grows with the file."""
    context = RequestContext("the upload", "Uploads are free.")
    large = OutgoingFile("a.mp4", io.BytesIO(), 90 * 2**20, "video/mp4", "")
    requests = [ApiRequest("POST", "", context, file=file) for file in (png(), large)]

    assert requests[1].total_timeout - requests[0].total_timeout > 1000


@pytest.mark.parametrize(
    ("code", "error_class", "part"),
    [
        (40001, errors.BadRequestError, "95 MB"),
        (40002, errors.BadRequestError, "png, jpeg, webp or gif"),
        (40003, errors.BadRequestError, "EvoLinkHook.delete_file"),
        (40004, errors.BadRequestError, "download the link"),
        (50001, errors.ServerError, "later retry may succeed"),
        (401, errors.AuthenticationError, "valid API key"),
        (429, errors.RateLimitedError, "after a pause"),
        ("40003", errors.InvalidResponseError, "retry may succeed"),
        (7, errors.InvalidResponseError, "retry may succeed"),
    ],
)
async def test_a_rejection(code: Any, error_class: type[errors.EvoLinkError], part: str) -> None:
    """A failure, even with HTTP 200, is the error that its code means; it says what helps, and that it was free."""
    error = await rejection({"success": False, "code": code, "msg": "It can't be stored"}, 200)

    assert type(error) is error_class
    for text in ("It can't be stored", "free", part):
        assert text in str(error)
    assert str(error) == f"{error.facts} {error.advice}"


@pytest.mark.parametrize(
    ("status", "body", "error_class", "part"),
    [
        (400, {"success": False, "code": 40003, "msg": "Quota"}, errors.BadRequestError, "delete_file"),
        (413, {"success": False, "code": 413, "msg": "Too large"}, errors.BadRequestError, "95 MB"),
        (413, b"<html>", errors.InvalidResponseError, "not EvoLink's JSON"),
        (503, {"success": False, "code": 50001, "msg": "Storage"}, errors.ServerError, "later retry may succeed"),
    ],
)
async def test_a_rejection_with_a_status(
    status: int, body: Any, error_class: type[errors.EvoLinkError], part: str
) -> None:
    """A status of 400 or more counts, and EvoLink's code says what helps."""
    error = await rejection(body, status)

    assert type(error) is error_class
    assert part in str(error)


async def rejection(body: Any, status: int) -> errors.EvoLinkError:
    """Return the error of an upload that gets this response."""
    with serving(always(body, status)) as server:
        async with EvoLinkClient(settings_for(server)) as client:
            with pytest.raises(errors.EvoLinkError) as caught:
                await client.files.upload(png())
    return caught.value


async def test_list_and_deletion(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """All files are listed, over several pages; a deleted one is gone, and deleting it again is no error."""
    uploaded = [await client.files.upload(png(PICTURE)) for _ in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_evolink.api.files_client.PAGE_SIZE", 2)
        listed = await client.files.list()

    assert {file.file_id for file in listed} == {file.file_id for file in uploaded}
    assert {(file.size, file.uploaded_at is not None) for file in listed} == {(len(PICTURE), True)}
    assert sent(evolink_emulator)["list_files"] == 3
    assert (await client.files.quota()).used_files == 3
    assert await client.files.delete(listed[0].file_id)
    assert not await client.files.delete(listed[0].file_id)
    assert (await client.files.quota()).remaining_files == 1998
    assert len(await client.files.list()) == 2


@pytest.mark.parametrize("file_id", ["", "..", "../quota", "a/b", "a b", "x" * 200, None])
async def test_a_malformed_file_id_is_not_sent(
    client: EvoLinkClient, evolink_emulator: EmulatorHandle, file_id: Any
) -> None:
    """An id that could change the path is rejected before anything is sent."""
    with pytest.raises(errors.InvalidInputError, match="file_id"):
        await client.files.delete(file_id)
    assert sent(evolink_emulator)["total"] == 0


async def test_a_link_is_uploaded(client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """EvoLink fetches a link and keeps the file; one that it can't fetch is rejected."""
    uploaded = await client.files.upload_link("https://example.com/a.png")

    [stored] = uploads(evolink_emulator)
    assert (uploaded.content_type, uploaded.size, uploaded.sha256) == ("image/png", stored["file_size"], None)
    with pytest.raises(errors.BadRequestError, match="download"):
        await client.files.upload_link("ftp://example.com/a.png")


@pytest.mark.parametrize(
    ("source", "content_type", "name"),
    [
        ("s3://bucket/in/a.png", "image/png", "a.png"),
        ("/pictures/a", "image/webp", "a.webp"),
        ("data", "video/mp4", "data.mp4"),
        ("s3://bucket/in/", "audio/x-own", "in.x-own"),
        ("/", "image/png", "upload.png"),
    ],
)
def test_names(source: str, content_type: str, name: str) -> None:
    """A file keeps its name, and gets an extension if it has none."""
    assert files.upload_name(source, content_type) == name


@pytest.mark.parametrize("name", ['a "quoted"\r\nX: y.png', "Größe 🐈.png"])
async def test_any_name_arrives(client: EvoLinkClient, evolink_emulator: EmulatorHandle, name: str) -> None:
    """No name of a file breaks the request."""
    await client.files.upload(replace(png(PICTURE), name=name))

    [stored] = uploads(evolink_emulator)
    assert stored["original_name"].endswith("png")


def test_when_a_file_expires() -> None:
    """A time is taken as it is in its zone; without one the documented 72 hours count from now."""
    for given_time, expected in (
        ("2026-11-28T08:00:00+08:00", NOW + timedelta(days=1)),
        ("2026-11-28T00:00:00Z", NOW + timedelta(days=1)),
        ("2026-11-28T00:00:00", NOW + timedelta(hours=72)),
        ("soon", NOW + timedelta(hours=72)),
        (None, NOW + timedelta(hours=72)),
    ):
        body = {"success": True, "data": {"file_url": LINK, "expires_at": given_time}}
        assert files.parse_uploaded(body, None, now=NOW).expires_at == expected


@given(hostile.corrupted() | hostile.anything)
def test_any_body_is_parsed_or_rejected_by_every_parser(body: object) -> None:
    """Any body of the files API is parsed, or raises the documented error."""
    with suppress(errors.InvalidResponseError):
        uploaded = files.parse_uploaded(body, None, now=NOW)
        assert uploaded.link.startswith("http")
        assert uploaded.link.isprintable()
    with suppress(errors.InvalidResponseError):
        assert all(files.check_file_id(file.file_id) for file in files.parse_list(body))
    with suppress(errors.InvalidResponseError):
        assert files.parse_quota(body).used_files >= 0
