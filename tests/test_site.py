# SPDX-License-Identifier: Apache-2.0
"""What a reader's browser loads with the documentation's site; `make check` runs the same on the built site."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_docs import loaded_from_elsewhere


@pytest.mark.parametrize(
    "page",
    [
        '<link rel="stylesheet" href="https://fonts.example.com/css">',
        '<script src="//cdn.example.com/a.js"></script>',
        '<img srcset="http://example.com/a.png">',
        '<video poster="https://example.com/a.png"></video>',
        '<pre class="mermaid">graph</pre>',
    ],
)
def test_what_is_loaded_from_elsewhere(page: str, tmp_path: Path) -> None:
    """A style, script, picture or diagram that needs another host is found."""
    (tmp_path / "index.html").write_text(page)

    assert len(list(loaded_from_elsewhere(tmp_path))) == 1


def test_what_styles_load(tmp_path: Path) -> None:
    """A font or a style that a style loads from another host is found."""
    (tmp_path / "a.css").write_text("@import 'https://example.com/b.css'; a { src: url(//example.com/c.woff2) }")

    assert len(list(loaded_from_elsewhere(tmp_path))) == 2


def test_what_is_on_the_site(tmp_path: Path) -> None:
    """Files of the site itself, and links that a reader may click, are not."""
    page = '<a href="https://example.com">there</a><img src="a.png"><link rel="canonical" href="https://example.com/a">'
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "a.css").write_text("a { background: url(b.png) }")

    assert list(loaded_from_elsewhere(tmp_path)) == []
