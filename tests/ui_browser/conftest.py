# SPDX-License-Identifier: Apache-2.0
"""The Airflow to look at, and a browser to do so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ui_browser.showcase import Ui, running_ui

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from testkit.s3 import S3

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory, s3: S3) -> Iterator[Ui]:
    """The Airflow."""
    with running_ui(tmp_path_factory.mktemp("ui"), s3) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: make test-browser installs it")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt install chromium, or name the program in CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, ui: Ui) -> Iterator[Page]:
    """A page of a browser of its own, 1280 pixels wide, that nobody has logged in."""
    with browser.new_context(base_url=f"{ui.stack.url}/", viewport={"width": 1280, "height": 900}) as context:
        yield context.new_page()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for screenshots: the one that ``SCREENSHOTS`` names, or one that is dropped."""
    folder = os.environ.get("SCREENSHOTS")
    return Path(folder) if folder else tmp_path_factory.mktemp("screenshots")
