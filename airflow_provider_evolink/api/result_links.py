# SPDX-License-Identifier: Apache-2.0
"""Find the links to a generation's files in EvoLink's response. Pure.

``results`` lists them for most models. ``result_data`` has no schema: each model family uses its own field names, some
files are linked only there, and not every link in it is a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

RESULT, COVER, PREVIEW = "result", "cover", "preview"

_MAX_DEPTH = 6
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
# Words that field names consist of, without a final "s", which :func:`_words` removes: "statu" is "status".
_LINK = frozenset({"url", "uri"})
_SOUND_OR_VIDEO = frozenset({"audio", "song", "music", "track", "voice", "video", "clip"})
_PICTURE = frozenset({"image", "picture", "photo"})
_COVER = frozenset({"cover", "thumbnail", "poster", "artwork"})
_PREVIEW = frozenset({"preview"})
# A link in a field whose name consists of these words only is a file's.
_MEDIA = _SOUND_OR_VIDEO | _PICTURE | _COVER | _PREVIEW | {"result", "output", "data", "file", "media", "list"}
_MODEL_INPUT = frozenset(
    {"input", "request", "param", "parameter", "prompt", "source", "src", "reference", "ref", "original", "origin"}
    | {"mask", "first", "start", "upload"}
)
_FOR_HUMANS = frozenset(
    {"doc", "documentation", "help", "support", "page", "web", "webpage", "website", "site", "homepage", "share"}
    | {"license", "term", "policy", "avatar", "profile", "user", "author", "creator", "dashboard", "console"}
    | {"billing", "invoice", "lyric", "subtitle", "metadata", "log", "error", "suggestion"}
)
_FOR_MACHINES = frozenset({"callback", "webhook", "notify", "statu", "poll", "cancel", "api", "endpoint"})
_NOT_A_RESULT = _MODEL_INPUT | _FOR_HUMANS | _FOR_MACHINES
# Names of EvoLink's parameters: their values are an echo of the request.
_PARAMETERS = frozenset({"image_urls", "video_urls", "audio_urls"})


@dataclass(frozen=True, slots=True)
class ResultLink:
    """The link to a file.

    :param role: ``result``; ``cover`` for the picture that comes with a song or a video; ``preview``.
    """

    url: str
    role: str = RESULT


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a value stands in the response.

    :param words: the words of its field's name.
    :param role: of the fields around it.
    :param depth: its nesting depth.
    """

    words: frozenset[str]
    role: str = RESULT
    depth: int = 0


_TOP = _Position(frozenset({"result"}))


def find_links(results: object, result_data: object) -> tuple[ResultLink, ...]:
    """Return the links to a generation's files, each once: those in ``results`` first.

    If ``results`` and ``result_data`` have the same link, its role is the one in ``result_data``.
    """
    links = [*_walk(results, _TOP), *_walk(result_data, _TOP)]
    roles = {link.url: link.role for link in reversed(links) if link.role != RESULT}
    return tuple(ResultLink(url, roles.get(url, RESULT)) for url in dict.fromkeys(link.url for link in links))


def is_link(text: str) -> bool:
    """Return whether a text can be the link to a file."""
    return text.lower().startswith("http") and text.isprintable()


def _walk(value: object, position: _Position) -> Iterator[ResultLink]:
    if isinstance(value, str):
        url = value.strip()
        if is_link(url) and (position.words & _LINK or position.words <= _MEDIA):
            yield ResultLink(url, position.role)
    elif isinstance(value, list | Mapping) and position.depth <= _MAX_DEPTH:
        for item, inner in _parts(value, position):
            yield from _walk(item, inner)


def _parts(value: list[object] | Mapping[object, object], position: _Position) -> Iterator[tuple[object, _Position]]:
    depth = position.depth + 1
    if isinstance(value, list):
        inner = _Position(position.words, position.role, depth)
        yield from ((item, inner) for item in value)
        return
    fields = [(name, _words(name), item) for name, item in value.items() if isinstance(name, str)]
    has_main = any(_is_main(words, item) for _, words, item in fields)
    for name, words, item in fields:
        is_duplicate = "stream" in words and has_main
        if not (words & _NOT_A_RESULT or name.lower() in _PARAMETERS or is_duplicate):
            yield item, _Position(words, _role(words, position.role, has_main=has_main), depth)


# The same few names are in every response.
@lru_cache(maxsize=256)
def _words(name: str) -> frozenset[str]:
    return frozenset(word.lower().removesuffix("s") for word in _WORD.findall(name))


def _is_main(words: frozenset[str], value: object) -> bool:
    """Return whether this is the song or video that the pictures next to it belong to."""
    if not words & _SOUND_OR_VIDEO or words & (_NOT_A_RESULT | _PREVIEW | {"stream"}):
        return False
    return is_link(value.strip()) if isinstance(value, str) else bool(value) and isinstance(value, list | Mapping)


def _role(words: frozenset[str], inherited: str, *, has_main: bool) -> str:
    if words & _COVER or (words & _PICTURE and has_main):
        return COVER
    return PREVIEW if words & _PREVIEW else inherited
