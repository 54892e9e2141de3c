# SPDX-License-Identifier: Apache-2.0
"""What each family of models delivers: how many files, in which formats, and what ``result_data`` says about them."""

from __future__ import annotations

import io
import uuid
from typing import Any

import av
import httpx
import pytest

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator.media.formats import MAX_LAYERED_FILES, file_extensions
from airflow_provider_evolink.landing.media_types import identify
from tests.api.documented_models import minimal_request, model_of

PICTURE = "https://example.com/a.png"
SILENT = {"model": "seedance-2.5-text-to-video", "duration": 4, "generate_audio": False}
VOICE = {"preferred_name": "narrator"}
DESIGN = {**VOICE, "voice_prompt": "calm", "preview_text": "Good evening, and welcome.", "prompt": None}


def completed(api, kind: str, **body: Any) -> dict[str, Any]:
    """Submit a generation, finish it, and return the response to a query for it."""
    payload = {name: value for name, value in {"prompt": "a", **body}.items() if value is not None}
    response = api.http.post(f"/v1/{kind}s/generations", json=payload)
    assert response.status_code == 200, response.text
    api.finish()
    result: dict[str, Any] = api.read(response.json()["id"])
    assert result["status"] == "completed"
    return result


def fetch(link: str) -> tuple[bytes, str]:
    """Download a file, without an API key, and return it with its content type."""
    response = httpx.get(link, timeout=30, trust_env=False)
    assert response.status_code == 200
    return response.content, response.headers["content-type"]


def test_every_model_is_accepted_and_delivers(api):
    """Each of the 163 documented models accepts its smallest request, completes, and has files or an id."""
    api.control.add_credits(1e6)
    ids = {}
    for name in catalog.names():
        path = model_of(name).endpoint
        response = api.http.post(path, json={"model": name, **minimal_request(name)})
        assert response.status_code == 200, (name, response.text)
        ids[name] = response.json()["id"]
    api.finish()
    for name, generation_id in ids.items():
        body = api.read(generation_id)
        assert body["status"] == "completed", name
        assert bool(body.get("results")) is catalog.makes_files(name), name
        assert body.get("results") or body["result_data"], name
    assert len(ids) == 163


def test_images_are_linked_twice(api):
    """An image has the same link in results and in result_data, and the seconds that it took."""
    body = completed(api, "image", model="gpt-image-2", n=2)
    assert body["result_data"] == [{"url": link} for link in body["results"]]
    assert isinstance(body["duration"], int)


def test_songs(api):
    """Suno delivers several songs, an array of them with id, title, tags, length, link and cover."""
    body = completed(api, "audio", model="suno-v5-beta", custom_mode=True, title="Foghorn", style="shanty", prompt="a")
    songs = body["result_data"]
    assert [song["audio_url"] for song in songs] == body["results"]
    assert len({song["result_id"] for song in songs}) == len(songs) == 2
    for song in songs:
        assert uuid.UUID(song["result_id"]).version == 4
        assert (song["title"], song["tags"]) == ("Foghorn", "shanty")
        assert fetch(song["audio_url"])[1] == "audio/mpeg"
        assert fetch(song["image_url"])[1] == "image/jpeg"


def test_older_names_are_answered_with_the_model_in_use(api):
    """An older name is accepted, and answered with the model that EvoLink maps it to; both names are listed."""
    assert completed(api, "audio", model="suno-v5")["model"] == "suno-v5-beta"
    listed = {entry["id"] for entry in api.http.get("/v1/models").json()["data"]}
    assert {"suno-v5", "suno-v5-beta"} <= listed
    assert listed >= set(catalog.names())


@pytest.mark.parametrize(
    ("model", "speed", "count"), [("mj-v7", "fast", 4), ("mj-v7", "draft", 4), ("mj-v8.1", "draft", 24)]
)
def test_midjourney_delivers_a_grid(api, model, speed, count):
    """Midjourney delivers 4 images, 24 in the draft mode of its newer versions."""
    assert len(completed(api, "image", model=model, model_params={"speed": speed})["results"]) == count


def test_layers(api):
    """A picture taken apart is a base image and PNG layers with an alpha channel, in order, with boxes."""
    body = completed(api, "image", model="doubao-seedream-5.0-pro-layerize", image_urls=[PICTURE])
    entries = body["result_data"]
    assert [entry["url"] for entry in entries] == body["results"]
    assert [entry["z_index"] for entry in entries] == list(range(len(entries)))
    assert "bounding_box" not in entries[0]
    assert entries[1]["bounding_box"].keys() == {"absolute", "normalized"}
    data, content_type = fetch(entries[1]["url"])
    assert (fetch(entries[0]["url"])[1], content_type) == ("image/jpeg", "image/png")
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "rgba"


def test_the_number_of_layers_varies():
    """Pictures have 1 to 17 files, depending on the request."""
    model = "doubao-seedream-5.0-flash-layerize"
    counts = {len(file_extensions(model, "image", {"prompt": str(number)})) for number in range(200)}
    assert counts == set(range(1, MAX_LAYERED_FILES + 1))


@pytest.mark.parametrize(
    ("kind", "parameters", "content_type"),
    [
        ("audio", {"model": "qwen3-tts-vd", "voice": "v"}, "audio/wav"),
        ("audio", {"model": "qwen-audio-3.1-tts-flash"}, "audio/mpeg"),
        ("audio", {"model": "qwen-audio-3.1-tts-flash", "format": "wav", "sample_rate": 8000}, "audio/wav"),
        ("audio", {"model": "doubao-seed-audio-1-0", "format": "ogg_opus", "sample_rate": 32_000}, "audio/ogg"),
        ("video", {"model": "seedance-2.5-text-to-video", "duration": 4, "output_format": "mov"}, "video/quicktime"),
        ("image", {"model": "gpt-image-2", "output_format": "webp"}, "image/webp"),
        ("image", {"model": "doubao-seedream-5.0-pro"}, "image/jpeg"),
        ("image", {"model": "doubao-seedream-5.0-lite", "model_params": {"output_format": "png"}}, "image/png"),
    ],
)
def test_files_have_the_requested_format(api, kind, parameters, content_type):
    """A file has the requested format, or the model's own, in its bytes as in its content type."""
    (link,) = completed(api, kind, **parameters)["results"]
    data, stated = fetch(link)
    identified = identify(data[:4096], None)
    assert identified is not None
    assert (stated, identified.content_type) == (content_type, content_type)


@pytest.mark.parametrize("sample_rate", [8000, 44_100])
def test_raw_samples(api, sample_rate):
    """The format pcm is raw 16-bit samples at the requested rate, without any header."""
    parameters = {"model": "doubao-seed-audio-1-0", "format": "pcm", "sample_rate": sample_rate}
    data, content_type = fetch(completed(api, "audio", **parameters)["results"][0])
    assert (len(data), content_type) == (pytest.approx(5 * sample_rate * 2, rel=0.01), "audio/pcm")
    assert not data.startswith(b"RIFF")


@pytest.mark.parametrize(
    ("parameters", "tracks"),
    [
        (SILENT, 0),
        ({**SILENT, "generate_audio": True}, 1),
        ({"model": "kling-v3-text-to-video", "duration": 3}, 0),
        ({"model": "kling-v3-text-to-video", "duration": 3, "sound": "on"}, 1),
    ],
)
def test_videos_can_be_silent(api, parameters, tracks):
    """A video has a sound track unless the request, or the model's default, says otherwise."""
    data, _ = fetch(completed(api, "video", **parameters)["results"][0])
    with av.open(io.BytesIO(data)) as container:
        assert len(container.streams.audio) == tracks


def test_speech(api):
    """Speech is described by its link, format and sample rate."""
    body = completed(api, "audio", model="qwen-audio-3.1-tts-flash", response_format="opus", sample_rate=16_000)
    assert body["result_data"] == [{"audio_url": body["results"][0], "format": "ogg", "sample_rate": 16_000}]


@pytest.mark.parametrize("model", ["voice-enrollment", "qwen-voice-design"])
def test_a_designed_voice_has_a_preview(api, model):
    """A designed voice has an id, and a preview that is the only result."""
    body = completed(api, "audio", model=model, **DESIGN)
    voice = body["result_data"]
    assert (voice["voice_type"], body["results"]) == ("voice_design", [voice["preview_audio_url"]])
    assert fetch(voice["preview_audio_url"])[1] == "audio/wav"


def test_a_cloned_voice_has_no_file(api):
    """A cloned voice has an id and no results, and the list says so."""
    body = completed(
        api, "audio", model="voice-enrollment", audio_url="https://example.com/a.mp3", prompt=None, **VOICE
    )
    assert (body["result_data"]["voice_type"], body.get("results")) == ("voice_clone", None)
    entry = api.http.get("/v1/tasks").json()["data"][0]
    assert (entry["has_results"], entry["result_count"]) == (False, 0)
