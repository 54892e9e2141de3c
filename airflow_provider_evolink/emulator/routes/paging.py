# SPDX-License-Identifier: Apache-2.0
"""Pages of a list, as EvoLink's clients ask for them (undocumented). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

DEFAULT_SIZE = 20

Item = TypeVar("Item")


def page_of(query: Mapping[str, str], size_name: str, max_size: int) -> tuple[int, int]:
    """Return the requested page, from 1, and its size; unusable numbers count as missing.

    :param query: parameters of the query; ``page`` is the page.
    :param size_name: name of the parameter that has the size.
    :param max_size: the largest size; a larger one is reduced to it.
    """
    return _positive(query.get("page"), 1), min(_positive(query.get(size_name), DEFAULT_SIZE), max_size)


def select(items: Sequence[Item], page: int, size: int) -> Sequence[Item]:
    """Return the items of a page.

    :param items: all items.
    :param page: number of the page, from 1.
    :param size: items per page.
    """
    return items[(page - 1) * size : page * size]


def _positive(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 and int(text) > 0 else default
