# SPDX-License-Identifier: Apache-2.0
"""
The models that EvoLink documents: where they are asked, what they take, how long their links live.

The facts are data (``catalog.json``, one model a line), read on first use. Models come and go faster than
releases of this package, so a model that is not listed is still usable.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDPOINTS = {
    "video": "/v1/videos/generations",
    "image": "/v1/images/generations",
    "audio": "/v1/audios/generations",
}
_MEDIA_WORDS = {
    **dict.fromkeys(("video", "i2v", "t2v", "v2v"), "video"),
    **dict.fromkeys(("image", "photo"), "image"),
    **dict.fromkeys(("audio", "voice", "tts", "music", "song", "speech"), "audio"),
}
# Their result is an id for later requests (documented).
_WITHOUT_FILES = frozenset({"kling-custom-element", "suno-persona", "voice-enrollment"})
_SHORTEST_LINK_LIFE = timedelta(hours=24)


@dataclass(frozen=True)
class Model:
    """
    One documented model.

    :param name: its id, as sent.
    :param endpoint: the path that generations are posted to.
    :param schema: JSON schema of its parameters, without ``model`` and ``callback_url``. Two formats are our
        own: ``http-url`` (a public http or https URL) and ``image`` (that, a data URL or bare base64).
    :param link_life: how long a result link lives (documented; 24 h where the documents are silent).
    :param estimated_seconds: the documents' example of EvoLink's estimate; None where there is none.
    :param documentation: the URL of its page.
    """

    name: str
    endpoint: str
    schema: Mapping[str, Any]
    link_life: timedelta
    estimated_seconds: int | None
    documentation: str


def find(name: str) -> Model | None:
    """Return a documented model, or None if it is not in the catalogue."""
    return _models().get(name)


def names() -> tuple[str, ...]:
    """Return the ids of all documented models, sorted."""
    return tuple(_models())


def link_life(name: str) -> timedelta:
    """Return how long a model's result links live; 24 h, the shortest documented, where that is not known."""
    model = find(name)
    return model.link_life if model else _SHORTEST_LINK_LIFE


def makes_files(name: str) -> bool:
    """Tell whether a model's results are files; true where that is not known."""
    return name not in _WITHOUT_FILES


def endpoint_for(name: str, media_type: str | None = None) -> str:
    """
    Return the path that a model's generations are posted to.

    :param name: model id.
    :param media_type: ``video``, ``image`` or ``audio``; decides for a model that is not in the catalogue.
        Without it such a model is judged by its name, then by its documented relatives.
    :raises InvalidInputError: no such media type, or the name tells nothing.
    """
    if media_type not in (None, *_ENDPOINTS):
        raise InvalidInputError("media_type", media_type, "it must be 'video', 'image' or 'audio'")
    model = find(name)
    if model:
        return model.endpoint
    if media_type is None:
        media_type = _media_type_of(name)
    return _ENDPOINTS[media_type]


def _media_type_of(name: str) -> str:
    words = _words(name)
    # What stands behind a "to" is what comes out: "image-to-video" makes videos.
    spoken = words[len(words) - words[::-1].index("to") :] if "to" in words else words
    told = {_MEDIA_WORDS[word] for word in spoken if word in _MEDIA_WORDS} or _relatives(words)
    if len(told) != 1:
        raise InvalidInputError(
            "media_type",
            None,
            f"the model {name[:80]!r} is not in the catalogue, so it must be 'video', 'image' or 'audio'",
        )
    return told.pop()


def _relatives(words: tuple[str, ...]) -> set[str]:
    """Return what the documented models make that share the longest beginning of the name."""
    for length in range(len(words), 0, -1):
        kin = {endpoint for known, endpoint in _families() if known[:length] == words[:length]}
        if kin:
            return {media_type for media_type, endpoint in _ENDPOINTS.items() if endpoint in kin}
    return set()


@cache
def _families() -> tuple[tuple[tuple[str, ...], str], ...]:
    return tuple((_words(model.name), model.endpoint) for model in _models().values())


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\b[a-z]2[a-z]\b|[a-z]+", name.lower()))


@cache
def _models() -> Mapping[str, Model]:
    text = files(__package__).joinpath("catalog.json").read_text(encoding="utf-8")
    return {name: _model(name, facts) for name, facts in json.loads(text).items()}


def _model(name: str, facts: Mapping[str, Any]) -> Model:
    hours = facts.get("link_hours")
    return Model(
        name=name,
        endpoint=facts["endpoint"],
        schema=facts["schema"],
        link_life=timedelta(hours=hours) if hours else _SHORTEST_LINK_LIFE,
        estimated_seconds=facts.get("estimated_seconds"),
        documentation=f"https://docs.evolink.ai/en/api-manual/{facts['page']}",
    )
