# SPDX-License-Identifier: Apache-2.0
"""
Finds the links of a generation's files in what EvoLink answers. Pure.

``results`` lists them for most models. ``result_data`` has no schema: each family of models has names of its own in it,
some files are in there only, and not every link in there is a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

RESULT, COVER, PREVIEW = "result", "cover", "preview"

_MAX_DEPTH = 6
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
# Words of names, in the singular.
_LINK = frozenset({"url", "uri"})
_SOUND_OR_VIDEO = frozenset({"audio", "song", "music", "track", "voice", "video", "clip"})
_PICTURE = frozenset({"image", "picture", "photo"})
_COVER = frozenset({"cover", "thumbnail", "poster", "artwork"})
_PREVIEW = frozenset({"preview"})
# Under a name of these words alone, a text that is a link is a file's.
_MEDIA = _SOUND_OR_VIDEO | _PICTURE | _COVER | _PREVIEW | {"result", "output", "data", "file", "media", "list"}
_GIVEN_TO_THE_MODEL = frozenset(
    {"input", "request", "param", "parameter", "prompt", "source", "src", "reference", "ref", "original", "origin"}
    | {"mask", "first", "start", "upload"}
)
_FOR_PEOPLE = frozenset(
    {"doc", "documentation", "help", "support", "page", "web", "webpage", "website", "site", "homepage", "share"}
    | {"license", "term", "policy", "avatar", "profile", "user", "author", "creator", "dashboard", "console"}
    | {"billing", "invoice", "lyric", "subtitle", "metadata", "log", "error", "suggestion"}
)
_FOR_MACHINES = frozenset({"callback", "webhook", "notify", "statu", "poll", "cancel", "api", "endpoint"})
_NO_RESULT = _GIVEN_TO_THE_MODEL | _FOR_PEOPLE | _FOR_MACHINES
# EvoLink's parameters are called so: what stands below is an echo of what was given.
_PARAMETERS = frozenset({"image_urls", "video_urls", "audio_urls"})


@dataclass(frozen=True, slots=True)
class ResultLink:
    """
    The link of a file.

    :param role: ``result``; ``cover`` for the picture beside a song or a video; ``preview``.
    """

    url: str
    role: str = RESULT


@dataclass(frozen=True, slots=True)
class _Under:
    """Where a value stands: below which name, and as part of what."""

    words: frozenset[str]
    role: str = RESULT
    depth: int = 0


_TOP = _Under(frozenset({"result"}))


def collect(results: object, result_data: object) -> tuple[ResultLink, ...]:
    """
    List the links of a generation's files, each once: those in ``results``, then the others.

    The role of a link is what ``result_data`` calls it, also where ``results`` lists it too.
    """
    links = [*_walk(results, _TOP), *_walk(result_data, _TOP)]
    roles = {link.url: link.role for link in reversed(links) if link.role != RESULT}
    return tuple(ResultLink(url, roles.get(url, RESULT)) for url in dict.fromkeys(link.url for link in links))


def is_link(text: str) -> bool:
    """Whether a text can be a file's link."""
    return text.lower().startswith("http") and text.isprintable()


def _walk(value: object, under: _Under) -> Iterator[ResultLink]:
    if isinstance(value, str):
        url = value.strip()
        if is_link(url) and (under.words & _LINK or under.words <= _MEDIA):
            yield ResultLink(url, under.role)
    elif isinstance(value, list | Mapping) and under.depth <= _MAX_DEPTH:
        for item, below in _parts(value, under):
            yield from _walk(item, below)


def _parts(value: list[object] | Mapping[object, object], under: _Under) -> Iterator[tuple[object, _Under]]:
    depth = under.depth + 1
    if isinstance(value, list):
        yield from ((item, replace(under, depth=depth)) for item in value)
        return
    named = [(name, _words(name), item) for name, item in value.items() if isinstance(name, str)]
    has_main = any(_is_main(words, item) for _, words, item in named)
    for name, words, item in named:
        is_double = "stream" in words and has_main
        if not (words & _NO_RESULT or name.lower() in _PARAMETERS or is_double):
            yield item, _Under(words, _role(words, under.role, has_main=has_main), depth)


def _words(name: str) -> frozenset[str]:
    return frozenset(word.lower().removesuffix("s") for word in _WORD.findall(name))


def _is_main(words: frozenset[str], value: object) -> bool:
    """Whether this is the song or the video that a picture beside it belongs to."""
    if not words & _SOUND_OR_VIDEO or words & (_NO_RESULT | _PREVIEW | {"stream"}):
        return False
    return is_link(value.strip()) if isinstance(value, str) else bool(value) and isinstance(value, list | Mapping)


def _role(words: frozenset[str], inherited: str, *, has_main: bool) -> str:
    if words & _COVER or (words & _PICTURE and has_main):
        return COVER
    return PREVIEW if words & _PREVIEW else inherited
