# SPDX-License-Identifier: Apache-2.0
"""What becomes of each form of media value."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError, UnreadableInputError
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.media.resolver import MediaResolver
from tests.api.documented_models import minimal_request
from tests.media import files
from tests.media.requests import LINK, LocalFile, prepare, refused

SEED = "gemini-omni-flash-image-to-video"
LINKS_ONLY = "seedance-2.0-image-to-video"
REFERENCES = "minimax-h3-reference-to-video"
PNG = files.png(1024, 1024)
RESULT = "https://cdn.evolink.ai/a.png?Expires=1&Signature=x"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that all models take."""
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    return path


def sent(request: GenerationRequest) -> dict[str, Any]:
    """Return the parameters of a request, each media value as its identity."""
    values: dict[str, Any] = json.loads(request.body)
    return values


def identity(data: bytes) -> str:
    """Return what names a content."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def record(*links: str, hours: float = 20, model: str = "gpt-image-2", **fields: Any) -> dict[str, Any]:
    """Return the record of an earlier generation whose links live this long."""
    expires_at = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="seconds")
    results = list(links or [RESULT])
    return {
        "generation_id": "task-unified-1-abc", "model": model, "status": "completed", "results": results,
        "expires_at": expires_at, **fields,
    }  # fmt: skip


def landed(path: Path) -> dict[str, Any]:
    """Return the entry of a file that landed."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {
        "uri": path.as_uri(), "bytes": len(data), "sha256": digest, "content_type": "image/png",
        "generation_id": "task-unified-1-abc",
    }  # fmt: skip


# --- files and data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["path", "object", "URI", "base64", "base64 in lines", "data URL", "padded path"])
def test_every_form_is_named_by_its_content(picture: Path, form: str) -> None:
    """Whatever form a picture has, the request is the same: a retry may find it elsewhere."""
    forms: dict[str, Any] = {
        "path": str(picture),
        "object": picture,
        "URI": picture.as_uri(),
        "base64": base64.b64encode(PNG).decode(),
        "base64 in lines": base64.encodebytes(PNG).decode(),
        "data URL": f"data:image/jpeg;base64,{base64.b64encode(PNG).decode()}",
        "padded path": f" {picture}\n",
    }
    request = prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [forms[form]]})
    [pending] = request.pending_media
    assert sent(request)["image_urls"] == [pending.placeholder] == [f"evolink-media:{identity(PNG)}"]
    assert (pending.parameter, pending.content_type, pending.size) == ("image_urls[0]", "image/png", len(PNG))
    assert pending.open is not None
    with pending.open() as content:
        assert content.read() == PNG


def test_a_model_that_takes_data_gets_them(picture: Path) -> None:
    """The seed's model gets the same bytes as ever, unless they are to be uploaded."""
    encoded = base64.b64encode(PNG).decode()
    request = prepare(SEED, {"prompt": "x", "image_urls": [str(picture)]})
    assert (sent(request)["image_urls"], request.pending_media) == ([f"data:image/png;base64,{encoded}"], ())
    assert sent(prepare(SEED, {"prompt": "x", "image_urls": [encoded]}))["image_urls"] == [encoded]
    assert sent(prepare(SEED, {"prompt": "x", "image_urls": [encoded]}, upload="never"))["image_urls"] == [encoded]
    for image in (picture, encoded, f"data:image/png;base64,{encoded}"):
        [pending] = prepare(SEED, {"prompt": "x", "image_urls": [image]}, upload="always").pending_media
        assert pending.identity == identity(PNG)
    assert prepare(SEED, {"prompt": "x", "image_urls": [LINK]}, upload="always").pending_media == ()


@pytest.mark.parametrize("name", ["heic", "tiff", "bmp"])
def test_advice_where_data_are_taken(tmp_path: Path, name: str) -> None:
    """The seed's model refuses a picture in another format with what to do, too."""
    file = tmp_path / "picture"
    file.write_bytes(files.IMAGES[name](64, 64))
    assert f"a {name.upper()} image: convert it" in refused(SEED, {"prompt": "x", "image_urls": [str(file)]}).allowed


def test_the_bytes_of_earlier_versions(picture: Path) -> None:
    """The seed's request is the same as ever, byte by byte, so that the ledgers of earlier versions resume."""
    parameters = {"prompt": "x", "image_urls": [str(picture)], "duration": 10, "aspect_ratio": "16:9"}
    data = base64.b64encode(PNG).decode()
    assert prepare(SEED, parameters).body.decode() == (
        '{"aspect_ratio":"16:9","duration":10,"image_urls":["data:image/png;base64,' + data + '"],'
        f'"model":"{SEED}","prompt":"x"}}'
    )


def test_a_document_is_a_link(tmp_path: Path) -> None:
    """EvoLink's uploads take no documents, so a parameter for one takes links only, and does not speak of uploads."""
    error = refused("wan3.0-reference-video", {"prompt": "x", "model_params": {"file_url": str(tmp_path / "a.pdf")}})
    assert error.parameter == "model_params.file_url"
    assert error.allowed.startswith("a public http or https URL")
    assert "upload" not in error.allowed


def test_a_mask_that_is_a_data_url(picture: Path) -> None:
    """Where a model takes data URLs, but no bare base64, both become data URLs."""
    example = minimal_request("mj-v8.2-edit")
    for value in (str(picture), base64.b64encode(PNG).decode()):
        model_params = {**example["model_params"], "mask": {"url": value}}
        request = prepare("mj-v8.2-edit", {**example, "model_params": model_params})
        url = sent(request)["model_params"]["mask"]["url"]
        assert url == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_media_of_all_kinds_in_one_request(tmp_path: Path) -> None:
    """Pictures, videos and audio files of one request are resolved, each by its own rule."""
    made = {"image_urls": PNG, "video_urls": files.mp4(1280, 720, 5), "audio_urls": files.wav(5)}
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    values = {name: [LINK, str(tmp_path / name)] for name in made}
    request = prepare(REFERENCES, {"prompt": "x", **values})
    assert {media.parameter: media.identity for media in request.pending_media} == {
        f"{name}[1]": identity(data) for name, data in made.items()
    }
    assert all(sent(request)[name][0] == LINK for name in made)


def test_nested_media(picture: Path) -> None:
    """Media inside objects and lists of objects are found, by their dotted names."""
    elements = {"frontal_image": str(picture), "refer_images": [{"image_url": LINK}, {"image_url": picture}]}
    parameters = {
        "element_name": "me", "element_description": "x", "reference_type": "image_refer",
        "element_image_list": elements,
    }  # fmt: skip
    request = prepare("kling-custom-element", {"model_params": parameters})
    place = "model_params.element_image_list"
    assert [media.parameter for media in request.pending_media] == [
        f"{place}.frontal_image",
        f"{place}.refer_images[1].image_url",
    ]
    assert json.loads(request.with_links({identity(PNG): LINK}))["model_params"]["element_image_list"] == {
        "frontal_image": LINK,
        "refer_images": [{"image_url": LINK}] * 2,
    }


def test_a_file_is_read_once_for_many_requests(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture in a thousand rows is hashed once, and again only if it changes."""
    monkeypatch.setattr(LocalFile, "opened", [])
    known: dict[str, Any] = {}
    for _ in range(5):
        prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [str(picture)] * 2}, known_files=known)
    assert len(LocalFile.opened) == 1
    picture.write_bytes(other := files.png(1280, 720))
    [pending] = prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [str(picture)]}, known_files=known).pending_media
    assert (pending.identity, len(LocalFile.opened)) == (identity(other), 2)


def test_a_known_file_is_checked_for_each_parameter(picture: Path) -> None:
    """What is known about a file is no pass for a parameter with other limits."""
    known: dict[str, Any] = {}
    prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [str(picture)]}, known_files=known)
    error = refused("wan2.7-video-edit", {"video_urls": [str(picture)]}, known_files=known)
    assert error.parameter == "video_urls[0]"


# --- text -----------------------------------------------------------------------------------------------------------


def test_text_is_never_taken_for_a_file(picture: Path) -> None:
    """A prompt is a prompt, even if it is the path of a file or a data URL."""
    for prompt in (str(picture), f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "evolink-media:sha256:ab"):
        request = prepare(LINKS_ONLY, {"prompt": prompt, "image_urls": [LINK]})
        assert (sent(request)["prompt"], request.pending_media) == (prompt, ())


@pytest.mark.parametrize("voice", ["S_abc123", "zh_female_warm-1", "my.voice"])
def test_the_id_of_a_voice_is_no_file(voice: str) -> None:
    """Where a parameter takes names as well as media, a name stays."""
    request = prepare("doubao-seed-audio-1-0", {"prompt": "hi", "audio_references": [voice]})
    assert (sent(request)["audio_references"], request.pending_media) == ([voice], ())


def test_a_voice_in_a_file(tmp_path: Path) -> None:
    """Where a parameter takes names as well as media, paths, objects and data are media."""
    voice = tmp_path / "voice.wav"
    voice.write_bytes(files.wav(5))
    encoded = f"data:audio/wav;base64,{base64.b64encode(files.wav(5)).decode()}"
    given = [str(voice), voice, encoded]
    request = prepare("doubao-seed-audio-1-0", {"prompt": "hi", "audio_references": given})
    assert {media.identity for media in request.pending_media} == {identity(files.wav(5))}
    assert len(request.pending_media) == 3


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("/no/such.png", "as a path it can't be read"),
        ("", "a link, a path"),
        (5, "a link, a path"),
        (None, "a link, a path"),
        (b"\x89PNG", "a link, a path"),
        ("data:image/png;base64,!", "truncated or damaged"),
        ("http://10.0.0.1/a.png", "public"),
        ("{'generation_id': 'task-1', 'results': []}", "pass it as task.output"),
        ({"results": []}, "a link, a path"),
    ],
)
def test_what_is_no_media_is_refused(value: Any, part: str) -> None:
    """The error names the parameter, says what it takes, and speaks of nothing that the user did not write."""
    error = refused(LINKS_ONLY, {"prompt": "x", "image_urls": [LINK, value]})
    assert error.parameter == "image_urls[1]"
    assert part in error.allowed
    assert "evolink-media" not in str(error)


def test_an_error_about_other_parameters_shows_what_was_passed(picture: Path) -> None:
    """A rule between parameters is explained with the file, not with what stands for it."""
    error = refused("kling-v3-image-to-video", {"prompt": "x", "image_end": picture, "image_start": None})
    assert "evolink-media" not in str(error)
    error = refused(LINKS_ONLY, {"prompt": "x", "image_urls": [picture] * 3})
    assert (error.parameter, "evolink-media" in str(error)) == ("image_urls", False)


@pytest.mark.parametrize(("name", "hint"), [("heic", "pillow_heif"), ("tiff", "Pillow"), ("bmp", "Pillow")])
def test_formats_that_must_be_converted(tmp_path: Path, name: str, hint: str) -> None:
    """A picture in a format that the model does not take is refused with what to do."""
    file = tmp_path / "picture"
    file.write_bytes(files.IMAGES[name](1024, 1024))
    error = refused("MiniMax-Hailuo-2.3-Fast", {"image_urls": [str(file)]})
    assert f"this is a {name.upper()} image: convert it to png or jpeg" in error.allowed
    assert hint in error.allowed


def test_a_missing_file_is_unreadable_and_a_storage_that_is_down_is_not() -> None:
    """A file that is missing may be there again on a later try; an outage is no mistake."""

    def unreachable(_location: str) -> LocalFile:
        raise ConnectionError("down")

    assert isinstance(refused(LINKS_ONLY, {"prompt": "x", "image_urls": ["/no/such.png"]}), UnreadableInputError)
    with pytest.raises(ConnectionError):
        MediaResolver(unreachable)(LINKS_ONLY, {"image_urls": ["s3://bucket/a.png"]})


# --- models that are not in the catalog -----------------------------------------------------------------------------


def test_models_that_are_not_in_the_catalog(picture: Path, tmp_path: Path) -> None:
    """Of a new model, parameters with the names of documented ones are resolved, as links."""
    film = tmp_path / "film.mp4"
    film.write_bytes(files.mp4())
    parameters = {"image_urls": [str(picture)], "image_start": picture, "video_url": str(film), "cover": str(picture)}
    request = prepare("brand-new", {"prompt": str(picture), **parameters}, media_type="video")
    assert {media.parameter for media in request.pending_media} == {"image_urls[0]", "image_start", "video_url"}
    assert (sent(request)["prompt"], sent(request)["cover"]) == (str(picture), str(picture))
    unchecked = prepare("brand-new", {"image_urls": ["x"]}, media_type="video", upload="never")
    assert sent(unchecked)["image_urls"] == ["x"]


# --- chains ---------------------------------------------------------------------------------------------------------


def test_a_record_is_a_media_value() -> None:
    """The link of an earlier result is sent while it lives, and the request does not depend on it."""
    earlier = record()
    request = prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [earlier]})
    [pending] = request.pending_media
    assert (pending.identity, pending.link, pending.open) == ("generation:task-unified-1-abc/0", RESULT, None)
    assert pending.link_expires_at == datetime.fromisoformat(earlier["expires_at"]).timestamp()
    renewed = {**record(hours=5), "results": [f"{RESULT}2"]}
    assert prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [renewed]}).body == request.body


@pytest.mark.parametrize("hours", [20, 0.1, -1])
def test_a_landed_file_takes_the_place_of_a_link(picture: Path, hours: float) -> None:
    """When the link has died, or is about to, the file that landed is uploaded; the request stays the same."""
    request = prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [record(hours=hours, landed=[landed(picture)])]})
    [pending] = request.pending_media
    assert (pending.link is not None) == (hours > 1)
    assert (pending.identity, pending.content_type) == ("generation:task-unified-1-abc/0", "image/png")
    assert pending.sha256 == hashlib.sha256(PNG).hexdigest()
    assert pending.open is not None
    with pending.open() as content:
        assert content.read() == PNG


@pytest.mark.parametrize("hours", [0.1, -1])
def test_a_result_that_is_gone_is_refused(hours: float) -> None:
    """A link that has died, of a result that has not landed, is refused before anything is paid."""
    error = refused(LINKS_ONLY, {"prompt": "x", "image_urls": [record(hours=hours)]})
    assert isinstance(error, UnreadableInputError)
    assert "has not landed" in error.allowed


def test_the_file_of_a_landed_entry_is_a_media_value(picture: Path) -> None:
    """One entry of ``landed`` counts as its file."""
    for value in ([landed(picture)], landed(picture)):
        [pending] = prepare(LINKS_ONLY, {"prompt": "x", "image_urls": value}).pending_media
        assert (pending.identity, pending.parameter) == (identity(PNG), "image_urls[0]")


def test_a_generation_with_several_results(caplog: pytest.LogCaptureFixture) -> None:
    """A list takes all of them; a single value, and an item of a list, the first, which is logged."""
    four = record(*(f"{RESULT}{number}" for number in range(4)), model="mj-v7")
    request = prepare("seedance-2.0-reference-to-video", {"prompt": "x", "image_urls": four})
    assert [media.identity[-2:] for media in request.pending_media] == ["/0", "/1", "/2", "/3"]
    with caplog.at_level(logging.INFO):
        [pending] = prepare("wan3.0-image-to-video", {"prompt": "x", "image_start": four}).pending_media
        [other] = prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [four]}).pending_media
    assert pending.identity == other.identity == "generation:task-unified-1-abc/0"
    assert caplog.text.count("takes the first of the 4 results") == 2
    assert refused(LINKS_ONLY, {"prompt": "x", "image_urls": four}).parameter == "image_urls"


def test_a_record_of_another_kind_is_refused() -> None:
    """A picture is no video, and a generation without results is nothing."""
    error = refused("wan2.7-video-edit", {"video_urls": [record()]})
    assert (error.parameter, "'gpt-image-2' made image" in error.allowed) == ("video_urls[0]", True)
    error = refused("wan2.7-video-edit", {"video_urls": [{**record(), "results": [], "status": "pending"}]})
    assert "has no results (status 'pending')" in error.allowed


def test_the_cover_of_a_song_is_a_picture() -> None:
    """Of results of different kinds those are taken that fit."""
    song = record("https://a.evolink.ai/1.mp3", RESULT, model="suno-v5-beta", roles=["result", "cover"])
    [pending] = prepare(LINKS_ONLY, {"prompt": "x", "image_urls": [song]}).pending_media
    assert pending.identity.endswith("/1")
    [audio] = prepare(REFERENCES, {"prompt": "x", "image_urls": [LINK], "audio_urls": song}).pending_media
    assert audio.identity.endswith("/0")


def test_a_model_that_refuses_the_links_of_results(picture: Path) -> None:
    """Documented for one model: the file that landed is uploaded although its link lives."""
    model = "mj-v8.2-remove-bg"
    assert "`destination`" in refused(model, {"image_urls": [record()]}).allowed
    [pending] = prepare(model, {"image_urls": [record(landed=[landed(picture)])]}).pending_media
    assert (pending.link, pending.open is not None) == (None, True)


def test_a_link_to_this_machine_in_a_record() -> None:
    """A result of an API on this machine goes to that API only."""
    local = record("http://127.0.0.1:8080/a.png")
    assert prepare(SEED, {"prompt": "x", "image_urls": [local]}, allow_loopback=True).pending_media
    with pytest.raises(InvalidInputError, match="public"):
        prepare(SEED, {"prompt": "x", "image_urls": [local]})
