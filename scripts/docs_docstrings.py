# SPDX-License-Identifier: Apache-2.0
"""Griffe extension of the documentation's site: writes docstrings as its parser of Sphinx's style reads them."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
_RAISES = re.compile(r":raises ([\w, ]+): ((?:.|\n(?!:|\n))+)")


class Docstrings(Extension):
    """Write roles as code, as Markdown has none, and errors that share an explanation one by one."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = _RAISES.sub(_one_by_one, _ROLE.sub(r"`\1`", obj.docstring.value))


def _one_by_one(match: re.Match[str]) -> str:
    return "\n".join(f":raises {name}: {match[2]}" for name in match[1].split(", "))
