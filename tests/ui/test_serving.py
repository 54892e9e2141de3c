# SPDX-License-Identifier: Apache-2.0
"""A landed file comes as a browser needs it to play and to seek, and as nothing that a browser would run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_evolink.landing.storage_target import storage_target
from airflow_provider_evolink.links import addresses
from testkit.s3 import BUCKET, S3
from tests.landing.media_server import mp4
from tests.object_stores import WHEN_REQUIRED, ObjectStore
from tests.ui.airflow_ui import RUN_ID, AirflowUi, add_task_instance
from tests.ui.auth_manager import OWN_DAG
from tests.ui.landed import landed, record

CONTENT = mp4(3_000_000)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
VIDEO = addresses.file(OWN_DAG, RUN_ID, "land")
POSTER = addresses.poster(OWN_DAG, RUN_ID, "land")

Put = Callable[[str, bytes], dict[str, Any]]


@pytest.fixture(scope="module")
def objects(s3: S3) -> Any:
    """The file system of the S3 server."""
    return s3.file_system()


@pytest.fixture(params=["local", "s3", "azure", "gcs"])
def put(request: pytest.FixtureRequest, videos: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put a file below a root, on this machine or in an object storage, and return its landed entry."""

    def put_here(name: str, content: bytes) -> dict[str, Any]:
        (videos / name).write_bytes(content)
        return landed(videos / name)

    def put_in_store(name: str, content: bytes) -> dict[str, Any]:
        storage_target(folder).fs.pipe_file(f"{BUCKET}/shown/{name}", content)
        return {**put_here(name, content), "uri": f"{store.scheme}://{BUCKET}/shown/{name}"}

    if request.param == "local":
        return put_here
    store = ObjectStore(request.param, request.getfixturevalue(request.param), monkeypatch)
    folder = store.destination("shown", "gallery")
    monkeypatch.setenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", folder)
    return put_in_store


@pytest.fixture
def video(ui: AirflowUi, put: Put) -> dict[str, Any]:
    """A landed video with its poster."""
    poster = put("0.mp4.poster.jpg", b"\xff\xd8\xffposter")
    file = {**put("0.mp4", CONTENT), "poster": poster["uri"]}
    add_task_instance(return_value=record(file))
    return file


@pytest.mark.usefixtures("video")
def test_a_whole_file(guest: httpx.Client) -> None:
    """A file comes whole, uncompressed, with its length and its hash, and under headers that let nothing run."""
    response = guest.get(VIDEO)
    headers = response.headers
    assert response.content == CONTENT
    assert headers["content-length"] == str(len(CONTENT))
    assert (headers["content-type"], headers["etag"], headers["accept-ranges"]) == ("video/mp4", ETAG, "bytes")
    assert (headers["content-encoding"], headers["x-content-type-options"]) == ("identity", "nosniff")
    assert headers["content-disposition"] == "inline; filename*=utf-8''0.mp4"
    assert headers["content-security-policy"] == (
        "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'"
    )


@pytest.mark.usefixtures("video")
@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-", 0, 3_000_000),
        ("bytes=0-0", 0, 1),
        ("bytes=1000-2499999", 1000, 2_500_000),
        ("bytes=2999990-", 2_999_990, 3_000_000),
        ("bytes=2999990-9999999", 2_999_990, 3_000_000),
        ("bytes=-10", 2_999_990, 3_000_000),
    ],
)
def test_a_part_of_a_file(guest: httpx.Client, header: str, start: int, stop: int) -> None:
    """A browser that seeks gets exactly the bytes that it has asked for, and HEAD tells it how many."""
    response = guest.get(VIDEO, headers={"Range": header})
    head = guest.head(VIDEO, headers={"Range": header})
    for answer in (response, head):
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/3000000"
        assert answer.headers["content-length"] == str(stop - start)
    assert response.content == CONTENT[start:stop]
    assert head.content == b""


@pytest.mark.usefixtures("video")
def test_a_part_beyond_the_end(guest: httpx.Client) -> None:
    """A part beyond the end is refused with the size of the file."""
    response = guest.get(VIDEO, headers={"Range": "bytes=3000000-"})
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */3000000")


@pytest.mark.usefixtures("video")
@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("bytes=-0", {416}),
        ("bytes=0-", {206}),
        ("bytes=-9999999", {206, 416}),
        ("bytes=0-0,-1", {200}),
        (f"bytes={','.join(f'{start}-{start}' for start in range(0, 10_000, 2))}", {200}),
        ("bytes=9-5", {200, 400}),
        ("bytes=a-b", {200, 400}),
        ("items=0-5", {200, 400}),
        (f"bytes=0-{'9' * 5000}", {200, 206, 400}),
        (f"bytes={'9' * 5000}-", {200, 400, 416}),
    ],
)
def test_odd_ranges(guest: httpx.Client, header: str, status: set[int]) -> None:
    """Whatever part is asked for, the server answers, with no more than the file."""
    response = guest.get(VIDEO, headers={"Range": header})
    assert response.status_code in status
    assert len(response.content) <= len(CONTENT) + 1000


@pytest.mark.usefixtures("ui")
def test_an_empty_file(guest: httpx.Client, put: Put) -> None:
    """A file without content comes as such, and has no parts."""
    add_task_instance(return_value=record(put("0.mp4", b"")))
    assert [getattr(guest, method)(VIDEO).status_code for method in ("get", "head")] == [200, 200]
    assert (guest.get(VIDEO).content, guest.get(VIDEO).headers["content-length"]) == (b"", "0")
    for header in ("bytes=0-0", "bytes=0-", "bytes=-5"):
        response = guest.get(VIDEO, headers={"Range": header})
        assert (response.status_code, response.headers["content-range"]) == (416, "bytes */0")


@pytest.mark.usefixtures("video")
@pytest.mark.parametrize("tag", ['"other"', f"W/{ETAG}", "Fri, 27 Nov 2020 20:00:00 GMT", "nonsense"])
def test_a_part_of_another_file(guest: httpx.Client, tag: str) -> None:
    """A browser that has a part of what was there before gets all of what is there now."""
    response = guest.get(VIDEO, headers={"Range": "bytes=0-9", "If-Range": tag})
    assert (response.status_code, response.content) == (200, CONTENT)


@pytest.mark.usefixtures("video")
def test_head(guest: httpx.Client) -> None:
    """HEAD has the headers of a file and none of its bytes."""
    response = guest.head(VIDEO)
    assert (response.status_code, response.headers["content-length"], response.content) == (200, "3000000", b"")
    assert (response.headers["etag"], response.headers["content-type"]) == (ETAG, "video/mp4")


@pytest.mark.usefixtures("video")
def test_what_a_browser_has_already(guest: httpx.Client) -> None:
    """A file that the browser has is not sent again; a part is sent only of the same content."""
    for known in (ETAG, f'"x", W/{ETAG}', "*"):
        response = guest.get(VIDEO, headers={"If-None-Match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", ETAG)
    assert guest.get(VIDEO, headers={"If-None-Match": '"other"'}).status_code == 200
    for condition, status, size in ((ETAG, 206, 10), ('"other"', 200, 3_000_000)):
        response = guest.get(VIDEO, headers={"Range": "bytes=0-9", "If-Range": condition})
        assert (response.status_code, len(response.content)) == (status, size)


@pytest.mark.usefixtures("video")
def test_a_poster(guest: httpx.Client) -> None:
    """The poster of a file comes as a picture, and once only."""
    response = guest.get(POSTER)
    assert (response.content, response.headers["content-type"]) == (b"\xff\xd8\xffposter", "image/jpeg")
    assert guest.get(POSTER, headers={"If-None-Match": response.headers["etag"]}).status_code == 304


def test_the_hash_of_another_content(guest: httpx.Client, video: dict[str, Any], put: Put) -> None:
    """A file that was replaced since it landed does not go under the hash of the one that landed."""
    put("0.mp4", CONTENT + b"more")
    response = guest.get(VIDEO)
    assert response.status_code == 200
    assert response.headers["etag"] != ETAG


def test_a_file_that_is_gone(guest: httpx.Client, ui: AirflowUi, put: Put) -> None:
    """A file that is not there any more answers 404 with the reason, also one on another machine."""
    missing = {**put("0.mp4", b"x"), "bytes": 1}
    missing["uri"] = missing["uri"].replace("0.mp4", "none.mp4")
    add_task_instance(return_value=record(missing))
    response = guest.get(VIDEO)
    assert response.status_code == 404
    assert response.json()["detail"] in {"The file is not on this machine.", "The file is not in its storage any more."}


@pytest.mark.parametrize("put", ["local"], indirect=True)
@pytest.mark.parametrize(
    "content_type",
    ["text/html", "image/svg+xml", "application/javascript", "text/plain", "application/pdf", "video/", "x"],
)
def test_only_media_is_sent(guest: httpx.Client, ui: AirflowUi, put: Put, content_type: str) -> None:
    """What could run in a browser, and what is no picture, video or audio, is not sent."""
    add_task_instance(return_value=record({**put("0.mp4", b"<script>"), "content_type": content_type}))
    [entry] = guest.get(addresses.entries(OWN_DAG, RUN_ID)).json()["entries"]
    assert guest.get(VIDEO).status_code == 404
    assert (entry["servable"], content_type in entry["why_not"]) == (False, True)


@pytest.mark.usefixtures("video")
@pytest.mark.parametrize("put", ["local"], indirect=True)
@pytest.mark.parametrize(
    "number", ["-1", "true", "0x0", "1e3", "9" * 30, "9" * 5000, "2147483648", "0/..", "", "%00", "0%2F1"]
)
def test_numbers_that_name_nothing(guest: httpx.Client, number: str) -> None:
    """A number that no file has is refused, however it is written."""
    assert guest.get(VIDEO.replace("files/0", f"files/{number}")).status_code in {404, 422}


@pytest.mark.usefixtures("video")
@pytest.mark.parametrize("put", ["local"], indirect=True)
@pytest.mark.parametrize(
    "query",
    ["", "run_id=", "run_id=~&task_id=land", "run_id=%00&task_id=land", "run_id=x&task_id=~", "run_id=x&task_id=%00",
     f"run_id={'a' * 300}&task_id=land", "run_id=x&task_id=land&map_index=99999999999",
     "run_id=x&task_id=land&map_index=-2"],
)  # fmt: skip
def test_odd_queries(guest: httpx.Client, query: str) -> None:
    """A query that names no task instance gets nothing, and no error of the server."""
    assert guest.get(f"{VIDEO.partition('?')[0]}?{query}").status_code in {404, 422}
    listed = guest.get(f"{addresses.entries(OWN_DAG, RUN_ID).partition('?')[0]}?{query}")
    assert listed.status_code == 422 or listed.json() == {"entries": [], "more": False}


def test_s3_without_the_setting(
    guest: httpx.Client, ui: AirflowUi, s3: S3, objects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part is refused by s3fs, as by this S3 server, unless the connection says not to check it against the whole."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", f"s3://gallery@{BUCKET}/shown")
    objects.pipe_file(f"{BUCKET}/shown/checksum.mp4", CONTENT)
    add_task_instance(return_value=record(landed(Path("/none"), uri=f"s3://{BUCKET}/shown/checksum.mp4")))
    answers = []
    for extra in ({}, {"config_kwargs": WHEN_REQUIRED}):
        monkeypatch.setenv("AIRFLOW_CONN_GALLERY", s3.connection_with(**extra))
        answers.append(guest.get(VIDEO, headers={"Range": "bytes=5-9"}))
    assert [answer.status_code for answer in answers] == [502, 206]
    assert answers[1].content == CONTENT[5:10]


def test_a_changed_connection_is_noticed(
    guest: httpx.Client, ui: AirflowUi, s3: S3, objects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was missing, then wrong, and is right now works at the next request, without a restart."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", f"s3://changing@{BUCKET}/shown")
    objects.pipe_file(f"{BUCKET}/shown/0.mp4", CONTENT)
    add_task_instance(return_value=record(landed(Path("/none"), uri=f"s3://{BUCKET}/shown/0.mp4")))
    right = s3.connection_with(config_kwargs=WHEN_REQUIRED)
    missing = guest.get(VIDEO)
    assert (missing.status_code, "AirflowNotFoundException" in missing.text) == (502, True)
    monkeypatch.setenv("AIRFLOW_CONN_CHANGING", right.replace(s3.secret, "wrong"))
    refused = guest.get(VIDEO)
    monkeypatch.setenv("AIRFLOW_CONN_CHANGING", right)
    assert refused.status_code == 502
    assert s3.url not in refused.text
    assert "wrong" not in refused.text
    assert guest.get(VIDEO).status_code == 200
