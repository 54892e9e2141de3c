# SPDX-License-Identifier: Apache-2.0
"""Recognize a misspelled parameter: EvoLink would ignore it, and charge for a generation without it. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.schema import Schema

# Below, different words begin to look alike: "quantity" and "quality" are 0.8.
_SURELY_MEANT = 0.82
# In a shorter name another first letter makes another word: "weight" and "height".
_LONG = 8
_SEPARATORS = re.compile(r"[\s_-]+")
# A list and its item are mistaken for each other, and media for their links.
_ENDINGS = re.compile(r"(urls?|s)$")


@lru_cache(maxsize=1024)
def meant(name: str, documented: tuple[str, ...]) -> str | None:
    """Return the documented name that another one is surely a misspelling of; None if it may be a name of its own.

    Case, separators, a plural and an ending such as ``_url`` make no difference. Names that are documented for other
    models are no misspellings of anything else (``speed`` is none of ``seed``).

    :param name: it is not documented here.
    :param documented: what is.
    """
    alike = [other for other in documented if _stem(other) == _stem(name)]
    if not alike and name not in _names_anywhere():
        alike = [other for other in documented if _is_misspelled(_letters(name), _letters(other))]
    return max(alike, key=lambda other: _likeness(name, other), default=None)


def _is_misspelled(name: str, other: str) -> bool:
    if name[:1] != other[:1] and min(len(name), len(other)) < _LONG:
        return False
    return _likeness(name, other) >= _SURELY_MEANT or sorted(name) == sorted(other)


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, name, other).ratio()


def _letters(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()


def _stem(name: str) -> str:
    letters = _letters(name)
    return _ENDINGS.sub("", letters) or letters


@cache
def _names_anywhere() -> frozenset[str]:
    """Return all names that EvoLink documents, of any model, at any depth."""
    models = filter(None, map(catalog.find, catalog.names()))
    return frozenset(name for model in models for name in _names_in([model.schema]))


def _names_in(schemas: Iterable[Schema]) -> Iterator[str]:
    for schema in schemas:
        properties = schema.get("properties", {})
        yield from properties
        yield from _names_in([*properties.values(), *schema.get("oneOf", ()), *filter(None, [schema.get("items")])])
