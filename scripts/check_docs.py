# SPDX-License-Identifier: Apache-2.0
"""Builds the documentation's site strictly, and checks that whoever reads it requests nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# What a browser loads by itself; a link that a reader clicks may lead anywhere.
_LOADED = {"audio", "embed", "iframe", "img", "link", "object", "script", "source", "video"}
_ELSEWHERE = re.compile(r"\s*(https?:)?//")
_IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class _Loads(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the sources of an element; Material's script would load what it needs to draw ``mermaid`` diagrams."""
        values = dict(attrs)
        if "mermaid" in (values.get("class") or "").split():
            self.found.append("a script for mermaid")
        if tag in _LOADED and values.get("rel") != "canonical":
            names = ("src", "srcset", "href", "data", "poster")
            self.found += [value for name in names if _ELSEWHERE.match(value := values.get(name) or "")]


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """Yield what the pages and styles of a site load from elsewhere.

    :param site: folder of the built site.
    """
    for path in sorted(site.rglob("*.html")):
        loads = _Loads()
        loads.feed(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)} loads {each}" for each in loads.found)
    for path in sorted(site.rglob("*.css")):
        found = _IN_STYLES.findall(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)} loads {each}" for each in found)


def build(site: Path) -> None:
    """Build the site; exit if there is anything to warn of, such as a link that leads nowhere.

    :param site: folder to build it in.
    """
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    if built.returncode:
        sys.exit(f"{built.stdout}{built.stderr}")


def main() -> int:
    """Return 0 if the site is right; 1 after printing what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        problems = list(loaded_from_elsewhere(Path(folder)))
        pages = len(list(Path(folder).rglob("*.html")))
    for problem in problems:
        print(f"docs: {problem}", file=sys.stderr)
    if not problems:
        print(f"docs: {pages} pages, and nothing in them is loaded from elsewhere")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
