# SPDX-License-Identifier: Apache-2.0
"""What EvoLink documents about the media that a parameter takes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A lowest and a highest value, each of which may be open.
Limits = Sequence[float | None]

_NOUNS = {"image": "image", "video": "video", "audio": "audio file"}


@dataclass(frozen=True, slots=True)
class MediaRule:
    """What one parameter takes, or each item of its list.

    :param kind: ``image``, ``video`` or ``audio``; ``file`` (a document) and ``page`` (a web page) are links only.
    :param forms: what EvoLink accepts there: ``url``, ``data_url``, ``base64``, ``voice_id``, ``url_in_prompt``.
    :param is_list: whether the parameter is a list of them.
    :param formats: such as ``png`` and ``jpeg``; empty if none are documented.
    :param min_count: the lowest number of items, where one is documented.
    :param max_count: the highest.
    :param max_mb: of each file, in MB, which is read as 2**20 bytes: a little over the limit is EvoLink's to judge.
    :param side: of both sides, in pixels; ``short_side`` and ``long_side`` of one of them.
    :param pixels: of the area.
    :param aspect: the narrowest and the widest ratio of width to height, such as ``2:5``.
    :param seconds: of each file.
    :param total_seconds: of all files of a list together.
    :param max_url_characters: of a link.
    :param takes_result_links: whether it takes the links of EvoLink's own results.
    """

    kind: str
    forms: Sequence[str] = ("url",)
    is_list: bool = False
    formats: Sequence[str] = ()
    min_count: int | None = None
    max_count: int | None = None
    max_mb: float | None = None
    side: Limits | None = None
    short_side: Limits | None = None
    long_side: Limits | None = None
    pixels: Limits | None = None
    aspect: Sequence[str] | None = None
    seconds: Limits | None = None
    total_seconds: float | None = None
    max_url_characters: int | None = None
    takes_result_links: bool = True

    @property
    def is_media(self) -> bool:
        """Whether it is an image, a video or an audio file that may be uploaded."""
        return self.kind in _NOUNS and "url" in self.forms

    @property
    def takes_data(self) -> bool:
        """Whether the file itself may be sent in the request."""
        return "data_url" in self.forms

    @property
    def noun(self) -> str:
        """What it takes: "a png, jpeg or webp image"."""
        *others, last = self.formats or ("",)
        listed = f"{', '.join(others)} or {last} " if others else f"{last} ".lstrip()
        text = f"{listed}{_NOUNS.get(self.kind, self.kind)}"
        # As they are pronounced: an image, an mp4.
        return f"{'an' if text[0] in 'aio' or text.startswith(('mp', 'm4')) else 'a'} {text}"


def rules_from(facts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, MediaRule]:
    """Return the rules of a model by the paths of its parameters, such as ``model_params.mask.url``."""
    return {path: MediaRule(**rule) for path, rule in facts.items()}
