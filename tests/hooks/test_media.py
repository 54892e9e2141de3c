# SPDX-License-Identifier: Apache-2.0
"""Local media of every model, from the file to the submission, against the emulator."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError, UnreadableInputError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from testkit.s3 import S3
from tests.media import files
from tests.media.examples import WITH_MEDIA, legal, media_of, with_media

pytestmark = pytest.mark.usefixtures("no_pauses")


def test_a_local_file_of_every_model_is_submitted(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """For every media parameter of every model, a local file is sent as data or uploaded, and the request accepted."""
    emulator.control.add_credits(1_000_000)
    hook, accepted = EvoLinkHook(), 0
    for model in WITH_MEDIA:
        for path, rule in media_of(model):
            file = tmp_path / f"{model}.{path}"
            file.write_bytes(next(legal(rule)))
            request = hook.prepare(model, with_media(model, path, rule, str(file)))
            accepted += 1
            assert hook.submit(request, f"airflow-{accepted:032}").generation.id
    state = emulator.control.state()
    assert state["requests"]["submit"] == accepted > 170
    # Files with the same content are uploaded once.
    assert len(state["uploads"]) < 60


def test_the_forms_of_a_location(emulator: EmulatorHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, a relative one, one below the home folder, a URI and objects are the same file."""
    from airflow.sdk import ObjectStoragePath

    file = tmp_path / "a b.png"
    file.write_bytes(files.png(1024, 1024))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    forms: list[Any] = [str(file), "a b.png", "~/a b.png", f"file://{file}", file, ObjectStoragePath(f"file://{file}")]
    bodies = {EvoLinkHook().prepare("gpt-image-2", {"prompt": "x", "image_urls": [form]}).body for form in forms}
    assert len(bodies) == 1


def test_a_file_that_changes_is_another_one(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """A hook that has read a file reads it again when it has changed."""
    hook, file = EvoLinkHook(), tmp_path / "a.png"
    bodies = set()
    for width in (1024, 1025):
        file.write_bytes(files.png(width, 1024))
        bodies.add(hook.prepare("gpt-image-2", {"prompt": "x", "image_urls": [str(file)]}).body)
    assert len(bodies) == 2


def test_media_in_s3(emulator: EmulatorHandle, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A video in S3, whose index is at its end, is checked and hashed there; one that changes is another one."""
    monkeypatch.setenv("AIRFLOW_CONN_FILMS", s3.connection)
    uri, bodies = "s3://films@films/street.mp4", set()
    s3.file_system().mkdir("films")
    hook = EvoLinkHook()
    for seconds in (5, 6):
        s3.file_system().pipe("films/street.mp4", data := files.mp4(1280, 720, seconds))
        request = hook.prepare("wan2.7-video-edit", {"video_urls": [uri]})
        [pending] = request.pending_media
        assert (pending.identity, pending.size) == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
        bodies.add(request.body)
    assert len(bodies) == 2
    s3.file_system().pipe("films/street.mp4", files.mp4(1280, 720, 99))
    with pytest.raises(InvalidInputError, match=r"^`video_urls\[0\]`='s3://films/street.mp4'.*lasts 99.0 s"):
        hook.prepare("wan2.7-video-edit", {"video_urls": [uri]})
    with pytest.raises(UnreadableInputError, match="can't be read"):
        hook.prepare("wan2.7-video-edit", {"video_urls": ["s3://films@films/none.mp4"]})
