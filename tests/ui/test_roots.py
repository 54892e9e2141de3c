# SPDX-License-Identifier: Apache-2.0
"""A file is shown only if it lies below a folder that an administrator has named, whatever a record says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.ui.roots import (
    NotHereError,
    NotShownError,
    Root,
    configured_roots,
    locate,
    parse_root,
)

BUCKET = Root("s3", "bucket/videos", "my_conn")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root on this machine, with a file, and files and links beside it."""
    for name in ("videos", "videos2", "secret", "videos/sub"):
        (tmp_path / name).mkdir()
    for name in ("videos/0.mp4", "videos/sub/1.mp4", "videos2/0.mp4", "secret/key.mp4", "videos/ä b%20c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "videos/out.mp4").symlink_to(tmp_path / "secret/key.mp4")
    (tmp_path / "videos/outside").symlink_to(tmp_path / "secret")
    (tmp_path / "videos/loop.mp4").symlink_to(tmp_path / "videos/loop.mp4")
    (tmp_path / "videos/inside.mp4").symlink_to(tmp_path / "videos/sub/1.mp4")
    os.mkfifo(tmp_path / "videos/pipe.mp4")
    return tmp_path / "videos"


# What a hostile record may have in place of the URI of a landed file, by what it tries; {folder} is the root.
HOSTILE: dict[str, Any] = {
    "climbing": "file://{folder}/../secret/key.mp4",
    "climbing within": "file://{folder}/sub/../0.mp4",
    "climbing at the end": "file://{folder}/..",
    "encoded climbing": "file://{folder}/%2e%2e/secret/key.mp4",
    "encoded slash": "file://{folder}/..%2fsecret%2fkey.mp4",
    "twice encoded climbing": "file://{folder}/%252e%252e/secret/key.mp4",
    "a dot": "file://{folder}/./0.mp4",
    "a link out of the root": "file://{folder}/out.mp4",
    "a linked folder": "file://{folder}/outside/key.mp4",
    "a link to itself": "file://{folder}/loop.mp4",
    "a sibling with the same prefix": "file://{folder}2/0.mp4",
    "an absolute path within": "file://{folder}//{folder}/../secret/key.mp4",
    "the root itself": "file://{folder}",
    "the root with a slash": "file://{folder}/",
    "a folder": "file://{folder}/sub",
    "a pipe": "file://{folder}/pipe.mp4",
    "another host": "file://server{folder}/0.mp4",
    "one slash": "file:{folder}/0.mp4",
    "a plain path": "{folder}/0.mp4",
    "a scheme in capitals": "FILE://{folder}/0.mp4",
    "a chained scheme": "simplecache::file://{folder}/0.mp4",
    "another scheme": "memory://{folder}/0.mp4",
    "http": "http://127.0.0.1:8080/0.mp4",
    "data": "data:video/mp4;base64,AAAA",
    "windows": "file://{folder}\\..\\..\\secret\\key.mp4",
    "encoded windows": "file://{folder}/..%5c..%5csecret%5ckey.mp4",
    "a zero byte": "file://{folder}/0.mp4\0.txt",
    "an encoded zero byte": "file://{folder}/0.mp4%00.txt",
    "a line end": "file://{folder}/0.mp4\r\nSet-Cookie: a=b",
    "right to left": "file://{folder}/\u202e4pm.0",
    "a surrogate": "file://{folder}/\udc00.mp4",
    "a very long name": "file://{folder}/" + "a" * 5000 + ".mp4",
    "a long name": "file://{folder}/" + "a" * 300 + ".mp4",
    "bytes": b"file:///data/0.mp4",
    "a list": ["file:///data/0.mp4"],
    "a number": 7,
    "true": True,
    "nothing": None,
    "empty": "",
    "another bucket": "s3://other/videos/0.mp4",
    "a bucket with the same prefix": "s3://bucket2/videos/0.mp4",
    "a sibling key": "s3://bucket/videos2/0.mp4",
    "a key above": "s3://bucket/0.mp4",
    "a climbing key": "s3://bucket/videos/../secret/0.mp4",
    "an encoded climbing key": "s3://bucket/videos/%2e%2e/secret/0.mp4",
    "a foreign connection": "s3://admin_conn@bucket/videos/0.mp4",
    "a connection of the root": "s3://my_conn@bucket/videos/0.mp4",
    "credentials": "s3://key:secret@bucket/videos/0.mp4",
    "a port": "s3://bucket:80/videos/0.mp4",
    "an endpoint": "s3://127.0.0.1/bucket/videos/0.mp4",
    "an alias of the scheme": "s3a://bucket/videos/0.mp4",
    "an unprintable key": "s3://bucket/videos/\x1b[31m.mp4",
    "a folder of keys": "s3://bucket/videos/sub/",
}


@pytest.mark.parametrize("attempt", HOSTILE)
def test_a_hostile_record_reads_nothing(folder: Path, attempt: str) -> None:
    """Whatever a record names, nothing outside of the roots is found, and nothing but a refusal comes of it."""
    uri = HOSTILE[attempt]
    with pytest.raises(NotShownError) as raised:
        locate(
            uri.replace("{folder}", str(folder)) if isinstance(uri, str) else uri,
            None,
            (Root("file", str(folder)), BUCKET),
        )
    assert str(folder) not in str(raised.value)


@pytest.mark.parametrize("name", ["0.mp4", "sub/1.mp4", "ä b%20c.mp4"])
def test_files_below_a_root(folder: Path, name: str) -> None:
    """A file below a root is found under the name that it has, also one with spaces and percent signs."""
    found = locate(f"file://{folder}/{name}", None, (BUCKET, Root("file", str(folder))))
    assert Path(found.path) == folder / name


def test_a_link_within_a_root(folder: Path) -> None:
    """A link to a file below a root leads to that file."""
    assert locate(f"file://{folder}/inside.mp4", None, (Root("file", str(folder)),)).path == f"{folder}/sub/1.mp4"


def test_a_root_that_is_a_link(folder: Path, tmp_path: Path) -> None:
    """A root that is a link works by its own name and by that of the folder it leads to."""
    (tmp_path / "link").symlink_to(folder)
    roots = (Root("file", f"{tmp_path}/link"),)
    assert locate(f"file://{tmp_path}/link/0.mp4", None, roots).path == f"{folder}/0.mp4"
    assert locate(f"file://{folder}/0.mp4", None, roots).path == f"{folder}/0.mp4"


def test_a_file_on_another_machine(folder: Path) -> None:
    """A file that would be below a root, but is not on this machine, is reported as that."""
    with pytest.raises(NotHereError, match="not on this machine"):
        locate(f"file://{folder}/9.mp4", None, (Root("file", str(folder)),))


def test_the_connection_comes_from_the_root() -> None:
    """A record's connection chooses among roots that hold the file, and is never used itself."""
    roots = (BUCKET, Root("s3", "bucket", "second"))
    uri = "s3://bucket/videos/0.mp4"
    assert locate(uri, "admin_conn", roots).root.conn_id == "my_conn"
    assert locate(uri, ["second"], roots).root.conn_id == "my_conn"
    assert locate(uri, "second", roots).root.conn_id == "second"


def test_without_roots_nothing_is_shown(folder: Path) -> None:
    """Without roots every file is refused, with the name of the option."""
    with pytest.raises(NotShownError, match="gallery_roots"):
        locate(f"file://{folder}/0.mp4", None, ())


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("s3://my_conn@bucket/videos", Root("s3", "bucket/videos", "my_conn")),
        ("s3://my_conn@bucket/videos/", Root("s3", "bucket/videos", "my_conn")),
        ("S3://bucket", Root("s3", "bucket", None)),
        ("abfs://azure@container/a", Root("abfs", "container/a", "azure")),
        ("gs://bucket/a b", Root("gs", "bucket/a b", None)),
        ("file:///data/videos/", Root("file", "/data/videos", None)),
        ("/data//videos", Root("file", "/data/videos", None)),
    ],
)
def test_the_forms_of_a_root(text: str, root: Root) -> None:
    """A root is a storage URI with its connection, or a folder of this machine."""
    assert parse_root(text) == root


@pytest.mark.parametrize(
    "text",
    ["videos", "file:///", "/", "file://server/data", "s3://", "s3:///a", "s3://key:secret@bucket", "http://host/a",
     "s3://bucket/../a", "s3://bucket\\a", "s3://bucket/a\0", "hdfs://host/a"],
)  # fmt: skip
def test_what_can_be_no_root(text: str) -> None:
    """A root that can't work, or would be the whole machine, is refused with the forms that work."""
    with pytest.raises(
        InvalidInputError, match=r"\[evolink\] gallery_roots.*is invalid: must be storage URIs"
    ) as raised:
        parse_root(text)
    assert "secret" not in str(raised.value) or text.startswith("s3://key")


def test_a_wrong_root_leaves_the_others(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A root that can't work is logged and left out; the others hold."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", " s3://my_conn@bucket/videos , relative,, file:///data ")
    assert configured_roots() == (BUCKET, Root("file", "/data"))
    assert "'relative'" in caplog.text


def test_no_roots_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shown unless an administrator names a folder."""
    monkeypatch.delenv("AIRFLOW__EVOLINK__GALLERY_ROOTS", raising=False)
    assert configured_roots() == ()
