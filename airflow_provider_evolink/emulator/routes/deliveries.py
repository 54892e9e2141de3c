# SPDX-License-Identifier: Apache-2.0
"""What a completed generation delivers: ``results`` and ``result_data``, whose form depends on the model. Pure.

Documented on the models' pages; for images, ``result_data`` is as in a recorded response.
"""

from __future__ import annotations

import uuid
from typing import Any

from airflow_provider_evolink.emulator.media import formats
from airflow_provider_evolink.emulator.state.generations import Generation

# Models that deliver an id instead of a file, with the field that has it.
ID_FIELDS = {"kling-custom-element": "element_id", "suno-persona": "persona_id"}
VOICES = frozenset({"qwen-voice-design", "voice-enrollment"})
_BOX = {"x1": 0, "y1": 0, "x2": 1000, "y2": 1000}


def deliver(generation: Generation) -> dict[str, Any]:
    """Return ``results`` and ``result_data`` of a completed generation, as far as it has them.

    :param generation: a completed generation.
    """
    links, data = list(generation.result_urls), _result_data(generation)
    if generation.outcome.delivery == "nothing":
        return {}
    if generation.outcome.delivery == "result_data" and links:
        return {"result_data": data or [{"url": link} for link in links]}
    return ({"results": links} if links else {}) | ({"result_data": data} if data else {})


def _result_data(generation: Generation) -> Any:
    model = generation.spec.model
    if model in ID_FIELDS:
        return {ID_FIELDS[model]: f"{model}-{generation.secret[:12]}"}
    if model in VOICES:
        return _voice(generation)
    if formats.is_song(model):
        return _songs(generation)
    if formats.is_layered(model):
        return _layers(generation)
    if generation.spec.kind == "image":
        return [{"url": link} for link in generation.result_urls]
    return _speech(generation) if "-tts" in model else None


def _songs(generation: Generation) -> list[dict[str, Any]]:
    title, tags = generation.spec.echo.get("title", "Untitled"), generation.spec.echo.get("style", "pop, calm")
    songs = zip(generation.spec.artifacts, generation.result_urls, generation.cover_urls, strict=False)
    return [
        {
            "result_id": str(uuid.UUID(int=(int(generation.secret, 16) + number) % 2**128, version=4)),
            "title": title,
            "tags": tags,
            "duration": song.seconds,
            "audio_url": link,
            "image_url": cover,
        }
        for number, (song, link, cover) in enumerate(songs)
    ]


def _layers(generation: Generation) -> list[dict[str, Any]]:
    base, *layers = generation.result_urls
    return [
        {"url": base, "z_index": 0},
        *(
            {
                "url": link,
                "z_index": z_index,
                "bounding_box": {"absolute": _absolute_box(generation), "normalized": _BOX},
                "name": f"layer {z_index}",
                "description": f"Layer {z_index} of the picture",
            }
            for z_index, link in enumerate(layers, 1)
        ),
    ]


def _absolute_box(generation: Generation) -> dict[str, int]:
    picture = generation.spec.artifacts[0]
    return {"x1": 0, "y1": 0, "x2": picture.width, "y2": picture.height}


def _voice(generation: Generation) -> dict[str, Any]:
    preview = next(iter(generation.result_urls), None)
    designed = {"preview_audio_url": preview, "sample_rate": 24_000, "response_format": "wav"} if preview else {}
    return {
        "voice": f"{generation.spec.model}-{generation.secret[:12]}",
        "voice_type": "voice_design" if preview else "voice_clone",
        "target_model": generation.spec.echo.get("target_model", "qwen-audio-3.1-tts-flash"),
        **designed,
    }


def _speech(generation: Generation) -> list[dict[str, Any]]:
    (speech,) = generation.spec.artifacts
    (link,) = generation.result_urls
    return [{"audio_url": link, "format": speech.extension, "sample_rate": speech.sample_rate or 44_100}]
