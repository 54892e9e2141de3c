# SPDX-License-Identifier: Apache-2.0
"""Media that each documented model takes, and media just beyond its limits, made from the catalog."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.files import MAX_UPLOAD_BYTES
from airflow_provider_evolink.api.media_rules import Limits, MediaRule
from tests.api.documented_models import Parameters, minimal_request, model_of
from tests.media import files
from tests.media.requests import LINK

MB = 1024 * 1024
SIZES = [(1024, 1024), (1280, 720), (720, 720), (1920, 1080)]
WITH_MEDIA = [name for name in catalog.names() if any(rule.is_media for rule in model_of(name).media.values())]
# What the rules between parameters require besides, or rule out.
COMPANIONS: dict[tuple[str, str], Parameters] = {
    **{(name, "image_end"): {"image_start": LINK} for name in catalog.names()},
    ("mj-v7-inpaint", "model_params.mask.url"): {"model_params": {"task_id": "task-1", "mask": {}}},
}


def media_of(name: str) -> Iterator[tuple[str, MediaRule]]:
    """Yield the media parameters of a model that a file may be passed to."""
    yield from ((path, rule) for path, rule in model_of(name).media.items() if rule.is_media)


def dotted(parameter: str) -> str:
    """Return a parameter's path without the positions in lists."""
    return "".join(part.partition("]")[2] if "]" in part else part for part in parameter.split("["))


def with_media(name: str, path: str, rule: MediaRule, value: Any) -> Parameters:
    """Return the smallest request of a model with a value at a media parameter."""
    parameters = copy.deepcopy(minimal_request(name)) | copy.deepcopy(COMPANIONS.get((name, path), {}))
    *parents, last = path.split(".")
    schema: Any = {"properties": model_of(name).schema["properties"]}
    inner: Any = parameters
    for parent in parents:
        schema = schema.get("items", schema).get("properties", {}).get(parent, {})
        inner = inner[0] if isinstance(inner, list) else inner
        inner = inner.setdefault(parent, [{}] if schema.get("type") == "array" else {})
    inner = inner[0] if isinstance(inner, list) else inner
    inner["x" if last == "*" else last] = value if isinstance(value, list) or not rule.is_list else [value]
    return {key: item for key, item in parameters.items() if item is not None}


def legal(rule: MediaRule, *, seconds: float | None = None) -> Iterator[bytes]:
    """Yield a file of each documented format that a parameter takes."""
    low, high = rule.seconds or (None, None)
    lasts = seconds or (low if high is None else high if low is None else (low + high) / 2) or 5
    width, height = next(size for size in SIZES if is_within(size, rule))
    for name in rule.formats or {"image": ["png"], "video": ["mp4"], "audio": ["mp3"]}[rule.kind]:
        if name in files.IMAGES:
            yield files.IMAGES[name](width, height)
        elif name in files.VIDEOS:
            yield files.VIDEOS[name](width, height, lasts)
        elif name in files.AUDIOS:
            yield files.AUDIOS[name](lasts)


def is_within(size: tuple[int, int], rule: MediaRule) -> bool:
    """Return whether dimensions are inside a rule's limits."""
    short, long = sorted(size)
    limits = ((short, rule.side), (long, rule.side), (short, rule.short_side), (long, rule.long_side))
    return all(
        (limit[0] or 0) <= value <= (limit[1] or 10**9)
        for value, limit in (*limits, (short * long, rule.pixels))
        if limit
    )


def breaches(rule: MediaRule) -> Iterator[tuple[str, bytes, int]]:
    """Yield a part of the error, and a file, as its beginning and its size, that breaks one limit."""
    for data in wrong_kinds(rule):
        yield "but this is", data, 0
    if not rule.takes_data:
        limit = min((rule.max_mb or 10**6) * MB, MAX_UPLOAD_BYTES)
        yield f"at most {limit / MB:g} MB", next(legal(rule)), int(limit) + 1
    for width, height in wrong_sizes(rule):
        yield f"but this one is {width}x{height}", resized(rule, width, height), 0
    for lasts in beyond(rule.seconds, 0.5):
        yield " s, but this one lasts", next(legal(rule, seconds=lasts)), 0


def wrong_kinds(rule: MediaRule) -> Iterator[bytes]:
    """Yield files of other kinds and formats than a parameter takes."""
    kinds = {"video": files.mp4(), "audio": files.wav(), "image": files.png(1024, 1024)}
    yield from (data for kind, data in kinds.items() if kind != rule.kind)
    yield from files.OTHERS.values()
    if rule.kind == "image":
        yield from (files.IMAGES[name](1024, 1024) for name in ("heic", "tiff") if name not in rule.formats)


def wrong_sizes(rule: MediaRule) -> Iterator[tuple[int, int]]:
    """Yield dimensions just outside of each limit."""
    for limits in (rule.side, rule.short_side, rule.long_side):
        yield from ((int(side), int(side)) for side in beyond(limits, 1))
    yield from ((int(area**0.5), int(area**0.5)) for area in beyond(rule.pixels, 0.1 * (rule.pixels or [0, 0])[1]))
    if rule.aspect:
        narrow, wide = (Fraction(edge.replace(":", "/")) for edge in rule.aspect)
        height = next(size for size in SIZES if is_within(size, rule))[1]
        yield from ((int(height * narrow) - 1, height), (int(height * wide) + 2, height))


def beyond(limits: Limits | None, step: float) -> Iterator[float]:
    """Yield a value below the lowest and one above the highest."""
    low, high = limits or (None, None)
    yield from [max(low - step, low / 2)] if low else []
    yield from [high + step] if high else []


def resized(rule: MediaRule, width: int, height: int) -> bytes:
    """Return a legal file, but for its dimensions."""
    [name, *_] = rule.formats or ({"image": "png", "video": "mp4"}[rule.kind],)
    if name in files.IMAGES:
        return files.IMAGES[name](width, height)
    lasts = next(lasts for lasts in (5, *(rule.seconds or ())) if lasts)
    return files.VIDEOS[name](width, height, lasts)
