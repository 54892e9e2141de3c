# SPDX-License-Identifier: Apache-2.0
"""The hook's uploads, from wherever a file is, and its list, deletion and quota."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_evolink.api.errors import AuthenticationError, InvalidInputError, NotSentError
from airflow_provider_evolink.api.files import MAX_UPLOAD_BYTES
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from testkit.s3 import BUCKET, S3

pytestmark = pytest.mark.usefixtures("no_pauses")

DATA = Path(__file__).parent.parent / "data"
PICTURE = DATA / "frame.png"


def requests(emulator: EmulatorHandle) -> dict[str, int]:
    """Return how many requests each endpoint has had."""
    return {name: count for name, count in emulator.control.state()["requests"].items() if count}


@pytest.mark.parametrize(("name", "kind"), [("frame.png", "png"), ("frame.jpg", "jpeg"), ("frame.webp", "webp")])
def test_upload(emulator: EmulatorHandle, name: str, kind: str) -> None:
    """An image is uploaded with the type of its content, and can be downloaded from the returned URL."""
    uploaded = EvoLinkHook().upload(DATA / name)

    [upload] = emulator.control.state()["uploads"]
    assert (upload["mime_type"], upload["file_size"]) == (f"image/{kind}", (DATA / name).stat().st_size)
    assert uploaded.link.startswith(emulator.url)


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (b"GIF89a\x01\0\x01\0", "image/gif"),
        (b"\xff\xd8\xff\xff\xff\xe0" + b"\0" * 40, "image/jpeg"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "video/quicktime"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm", "video/webm"),
        (b"ID3\4\0\0\0\0\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0\0", "audio/mpeg"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio/mp4"),
        (b"OggS\0\2\0\0", "audio/ogg"),
    ],
)
def test_every_supported_media_type_is_uploaded(
    emulator: EmulatorHandle, tmp_path: Path, head: bytes, content_type: str
) -> None:
    """Images, video and audio are uploaded with the type of their content, whatever the file name."""
    file = tmp_path / "holiday.bin"
    file.write_bytes(head + b"\0" * 100)
    uploaded = EvoLinkHook().upload(file)

    [upload] = emulator.control.state()["uploads"]
    assert upload["mime_type"] == content_type
    assert upload["upload_path"] == f"{content_type.partition('/')[0]}s"
    assert httpx.get(uploaded.link, trust_env=False).content == file.read_bytes()


@pytest.mark.parametrize("name", ["openapi/get-credits.yaml", "openapi", "nothing.png", "cut.png", "scan.tiff"])
def test_only_media_are_uploaded(emulator: EmulatorHandle, tmp_path: Path, name: str) -> None:
    """Anything that is not a readable image, video or audio file is refused by name before it is sent."""
    written = {"cut.png": (DATA / "frame.png").read_bytes()[:12], "scan.tiff": b"II*\0\x08\0\0\0"}
    for file, content in written.items():
        (tmp_path / file).write_bytes(content)
    path = str((tmp_path if name in written else DATA) / name)
    with pytest.raises(
        InvalidInputError, match=r"^`source`=.* is invalid: must be a (readable file|png, jpeg)"
    ) as caught:
        EvoLinkHook().upload(path)
    assert caught.value.parameter == "source"
    assert requests(emulator) == {}


def test_a_rejected_upload(emulator: EmulatorHandle) -> None:
    """A failure of the files API, which has its own format, raises the same typed errors."""
    emulator.control.inject("http_error", on="upload", times=None, status=401)

    with pytest.raises(AuthenticationError, match="Invalid or expired token"):
        EvoLinkHook().upload(DATA / "frame.png")


@pytest.mark.parametrize("form", ["path", "text", "uri", "storage path", "bytes"])
def test_every_source_is_uploaded(emulator: EmulatorHandle, form: str) -> None:
    """A path, a URI, an ``ObjectStoragePath`` and bytes give the same file, with its hash."""
    uri = PICTURE.absolute().as_uri()
    source = {
        "path": PICTURE,
        "text": str(PICTURE),
        "uri": uri,
        "storage path": ObjectStoragePath(uri),
        "bytes": PICTURE.read_bytes(),
    }[form]

    uploaded = EvoLinkHook().upload(source)

    assert uploaded.sha256 == hashlib.sha256(PICTURE.read_bytes()).hexdigest()
    assert (uploaded.size, uploaded.content_type) == (PICTURE.stat().st_size, "image/png")
    assert httpx.get(uploaded.link, trust_env=False).content == PICTURE.read_bytes()
    [stored] = emulator.control.state()["uploads"]
    assert stored["original_name"] == ("upload.png" if form == "bytes" else "frame.png")


def test_from_s3(emulator: EmulatorHandle, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in S3 is read through the connection in its URI, which reaches neither EvoLink nor an error."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    s3.file_system().pipe_file(f"{BUCKET}/in/a.png", PICTURE.read_bytes())

    uploaded = EvoLinkHook().upload(f"s3://store@{BUCKET}/in/a.png")

    assert uploaded.size == PICTURE.stat().st_size
    with pytest.raises(InvalidInputError, match=r"`source`='s3://videos/in/none\.png'"):
        EvoLinkHook().upload(f"s3://store@{BUCKET}/in/none.png")


def test_a_storage_that_is_down(emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    """A storage that can't be reached at the moment is no permanent error, and nothing is sent."""
    connection = json.loads(s3.connection)
    connection["extra"]["endpoint_url"] = "http://127.0.0.1:9"
    connection["extra"]["config_kwargs"] = {"retries": {"total_max_attempts": 1}, "connect_timeout": 1}
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DOWN", json.dumps(connection))

    with pytest.raises(NotSentError, match="Nothing was submitted or charged") as caught:
        EvoLinkHook().upload(f"s3://store_down@{BUCKET}/a.png")

    assert not caught.value.permanent
    assert requests(emulator) == {}


def test_a_link(emulator: EmulatorHandle) -> None:
    """EvoLink fetches a public link; a private one is refused before anything is sent."""
    with pytest.raises(InvalidInputError, match="private"):
        EvoLinkHook().upload("http://192.168.0.1/a.png")
    assert requests(emulator) == {}

    assert EvoLinkHook().upload(" https://example.com/a.mp4 ").content_type == "video/mp4"


@pytest.mark.parametrize(
    ("source", "options", "match"),
    [
        (b"", {}, "not empty"),
        (7, {}, "bytes"),
        (PICTURE, {"content_type": "text/html"}, "content_type"),
        (b"II*\0\x08\0\0\0", {}, "png, jpeg, webp or gif"),
    ],
)
def test_unusable_sources(emulator: EmulatorHandle, source: Any, options: dict[str, Any], match: str) -> None:
    """What can't be an upload is refused before anything is sent."""
    with pytest.raises(InvalidInputError, match=match):
        EvoLinkHook().upload(source, **options)
    assert requests(emulator) == {}


@pytest.mark.parametrize(("size", "shown"), [(MAX_UPLOAD_BYTES + 1, r"95\.1 MB"), (200 * 2**20, "200 MB")])
def test_a_file_that_is_too_large(
    emulator: EmulatorHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, shown: str
) -> None:
    """A file of more than 95 MB is refused unread, before anything is sent; the error has its size and the limit."""
    large = tmp_path / "a.mp4"
    with large.open("wb") as file:
        file.truncate(size)
    monkeypatch.setattr("airflow_provider_evolink.media.spool._copy", pytest.fail)

    with pytest.raises(InvalidInputError, match=f"at most 95 MB, .*, but this one has {shown}"):
        EvoLinkHook().upload(large)
    assert requests(emulator) == {}


def test_a_content_type_of_ones_own(emulator: EmulatorHandle) -> None:
    """A given type replaces the one that the content suggests."""
    assert EvoLinkHook().upload(PICTURE, content_type="image/x-own").content_type == "image/x-own"


def test_list_deletion_and_quota(emulator: EmulatorHandle) -> None:
    """The account's files can be counted, listed and deleted."""
    hook = EvoLinkHook()
    uploaded = hook.upload(PICTURE)

    [stored] = hook.list_files()
    assert (stored.file_id, stored.size) == (uploaded.file_id, uploaded.size)
    quota = hook.quota()
    assert (quota.used_files, quota.max_files, quota.remaining_files) == (1, 2000, 1999)
    assert hook.delete_file(stored.file_id)
    assert not hook.delete_file(stored.file_id)
    assert hook.list_files() == []
