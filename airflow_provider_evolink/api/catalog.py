# SPDX-License-Identifier: Apache-2.0
"""The models that EvoLink documents: their endpoints and parameters, and how long their result links live.

The facts are data (``catalog.json``, one model per line), read on first use. Models come and go faster than
releases of this package, so a model that is not listed can be used all the same.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.media_rules import MediaRule, rules_from

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDPOINTS = {
    "video": "/v1/videos/generations",
    "image": "/v1/images/generations",
    "audio": "/v1/audios/generations",
}
_KINDS = {endpoint: kind for kind, endpoint in _ENDPOINTS.items()}
_MEDIA_WORDS = {
    **dict.fromkeys(("video", "i2v", "t2v", "v2v"), "video"),
    **dict.fromkeys(("image", "photo"), "image"),
    **dict.fromkeys(("audio", "voice", "tts", "music", "song", "speech"), "audio"),
}
_MEDIA_TYPES = "'video', 'image' or 'audio'"
_MAX_NAME = 80
_SHORTEST_LINK_LIFE = timedelta(hours=24)


@dataclass(frozen=True)
class Model:
    """One documented model.

    :param name: its id, as sent.
    :param endpoint: the path that generations are posted to.
    :param schema: JSON schema of its parameters, without ``model`` and ``callback_url``. The formats are our own:
        ``http-url`` (a public http or https URL), ``image-link``, ``video-link`` and ``audio-link`` (such a URL, of
        media), ``url-or-data-url``, and ``image`` (either, or bare base64); so is the keyword ``pixels`` (limits of a
        text such as ``1024x768``).
    :param rules: rules between the parameters, as read by :mod:`~airflow_provider_evolink.api.constraints`.
    :param link_life: how long a result link lives (documented; 24 h where the documentation does not say).
    :param estimated_seconds: EvoLink's estimate in the documentation's example; None where there is none.
    :param documentation: the URL of its page.
    :param aliases: older names that EvoLink maps to it.
    :param replaced_by: the model that replaces it, if EvoLink has withdrawn it.
    :param served_as: the model that EvoLink runs and bills instead, if any.
    :param makes_files: whether every completed generation has files.
    :param media: what its media parameters take, by path, such as ``image_urls`` or ``model_params.mask.url``.
    """

    name: str
    endpoint: str
    schema: Mapping[str, Any]
    rules: tuple[Mapping[str, Any], ...]
    link_life: timedelta
    estimated_seconds: int | None
    documentation: str
    aliases: tuple[str, ...] = ()
    replaced_by: str | None = None
    served_as: str | None = None
    makes_files: bool = True
    media: Mapping[str, MediaRule] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """What it makes: ``video``, ``image`` or ``audio``."""
        return _KINDS[self.endpoint]


def find(name: str) -> Model | None:
    """Return a documented model by its id or an older name; None if it is not in the catalog."""
    return _models().get(name) or _models().get(_aliases().get(name, ""))


def names() -> tuple[str, ...]:
    """Return the ids of all documented models, sorted."""
    return tuple(_models())


def link_life(name: str) -> timedelta:
    """Return how long a model's result links live; if unknown, 24 h, the shortest documented life."""
    model = find(name)
    return model.link_life if model else _SHORTEST_LINK_LIFE


def makes_files(model: str) -> bool:
    """Return whether a completed generation of a model must have files.

    :param model: model id; an unknown model is assumed to make files.
    :return: False for models that are documented to complete without files: their result is an id in ``result_data``
        (``kling-custom-element``, ``suno-persona``, and ``voice-enrollment``, which makes a file in design mode only).
    """
    known = find(model)
    return known.makes_files if known else True


@lru_cache(maxsize=64)
def closest(name: str) -> str | None:
    """Return the documented model id that a name is most likely a misspelling of, if any."""
    known = {known_name.lower(): known_name for known_name in (*names(), *_aliases())}
    near = difflib.get_close_matches(name[:_MAX_NAME].lower(), known, n=1, cutoff=0.75)
    return known[near[0]] if near else None


def endpoint_for(name: str, media_type: str | None = None) -> str:
    """Return the path that a model's generations are posted to.

    :param name: model id.
    :param media_type: ``video``, ``image`` or ``audio``; used only for a model that is not in the catalog.
        Without it such a model's endpoint is inferred from its name, then from its documented relatives.
    :raises InvalidInputError: no such media type, or it can't be inferred.
    """
    model = find(name)
    if media_type not in (None, *_ENDPOINTS):
        raise (
            _ambiguous(name, media_type) if model is None else InvalidInputError("media_type", media_type, _MEDIA_TYPES)
        )
    if model:
        return model.endpoint
    return _ENDPOINTS[media_type or _inferred_media_type(name)]


def _inferred_media_type(name: str) -> str:
    words = _words(name)
    # What follows "to" is what a model makes: "image-to-video" makes videos.
    output = words[len(words) - words[::-1].index("to") :] if "to" in words else words
    candidates = {_MEDIA_WORDS[word] for word in output if word in _MEDIA_WORDS} or _media_types_of_relatives(words)
    if len(candidates) != 1:
        raise _ambiguous(name)
    return candidates.pop()


def _ambiguous(name: str, media_type: str | None = None) -> InvalidInputError:
    if close := closest(name):
        allowed = f"in the catalog (did you mean {close!r}?), or accompanied by a `media_type` of {_MEDIA_TYPES}"
        return InvalidInputError("model", name, allowed)
    allowed = f"{_MEDIA_TYPES}, since the model {name[:_MAX_NAME]!r} is not in the catalog"
    return InvalidInputError("media_type", media_type, allowed)


def _media_types_of_relatives(words: tuple[str, ...]) -> set[str]:
    """Return what the documented models make that share the longest beginning of the name."""
    for length in range(len(words), 0, -1):
        endpoints = {endpoint for known, endpoint in _families() if known[:length] == words[:length]}
        if endpoints:
            return {media_type for media_type, endpoint in _ENDPOINTS.items() if endpoint in endpoints}
    return set()


@cache
def _families() -> tuple[tuple[tuple[str, ...], str], ...]:
    return tuple((_words(model.name), model.endpoint) for model in _models().values())


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\b[a-z]2[a-z]\b|[a-z]+", name.lower()))


@cache
def _aliases() -> Mapping[str, str]:
    return {alias: model.name for model in _models().values() for alias in model.aliases}


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
        rules=tuple(facts.get("rules", ())),
        aliases=tuple(facts.get("aliases", ())),
        replaced_by=facts.get("replaced_by"),
        served_as=facts.get("served_as"),
        makes_files=facts.get("makes_files", True),
        media=rules_from(facts.get("media", {})),
    )
