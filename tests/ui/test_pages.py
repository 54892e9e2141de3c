# SPDX-License-Identifier: Apache-2.0
"""Tests of what the pages consist of; a real browser looks at them in tests/ui_browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import airflow_provider_evolink.ui

PAGES = Path(airflow_provider_evolink.ui.__file__).parent / "pages"
NAMES = ("video.html", "gallery.html")
SCRIPT = (PAGES / "gallery.js").read_text(encoding="utf-8")
TEXTS = (PAGES / "texts.js").read_text(encoding="utf-8")
FORBIDDEN = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc", "http://", "https://")


class Elements(HTMLParser):
    """The elements of a page: their names and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed((PAGES / page).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("page", NAMES)
def test_addresses_are_relative(page: str) -> None:
    """Every address in a page leads to a file of this package, from any base URL of Airflow."""
    addresses = [
        value for _, attributes in Elements(page).found for key, value in attributes.items() if key in {"href", "src"}
    ]

    assert addresses
    for address in addresses:
        assert not address.startswith("/")
        assert urlsplit(address).scheme == ""
        assert (PAGES / address.removeprefix("../../static/")).is_file()


@pytest.mark.parametrize("page", NAMES)
def test_the_policy_allows_all_of_a_page(page: str) -> None:
    """A page has no script and no style of its own, which its content security policy would block."""
    elements = Elements(page).found

    assert [attributes for tag, attributes in elements if tag == "script" and "src" not in attributes] == []
    assert not {"style"} & {tag for tag, _ in elements}
    assert [key for _, attributes in elements for key in attributes if key.startswith("on") or key == "style"] == []


def test_text_is_set_as_text_only() -> None:
    """The scripts have no way to turn text into elements, and name no other host."""
    assert [word for word in FORBIDDEN if word in SCRIPT + TEXTS] == []


@pytest.mark.parametrize("page", NAMES)
def test_the_script_finds_its_elements(page: str) -> None:
    """Every element that the script asks for without a question is on both pages."""
    needed = set(re.findall(r'byId\("(\w+)"\)(?!\?)', SCRIPT))
    dialog_only = {"dialog", "previous", "next"}
    ids = {attributes["id"] for _, attributes in Elements(page).found if "id" in attributes}

    assert needed - dialog_only <= ids
    assert (dialog_only <= ids) == (page == "gallery.html")
