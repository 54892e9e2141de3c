# SPDX-License-Identifier: Apache-2.0
"""What a person sees in Airflow's UI, in a real browser: a video that plays, a gallery, and an approval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_evolink.links import addresses
from tests.ui_browser.showcase import ADMIN, PASSWORD, VIDEOS, Ui

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
REVIEW = "evolink_content_review"
TIMEOUT_MS = 60_000
TOP: Any = {"x": 0, "y": 0, "width": 1280, "height": 700}  # of a page that is 900 pixels high
# Plays a video, and then shows it from its second second.
SEEK = """async (video) => {
  video.muted = true;
  await video.play();
  const sought = new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
  video.currentTime = 2;
  await sought;
  video.pause();
  return { at: video.currentTime, duration: video.duration, width: video.videoWidth };
}"""


@pytest.fixture
def opened(page: Page) -> Callable[[str], Page]:
    """Open an address of Airflow's UI as an administrator."""
    page.set_default_timeout(TIMEOUT_MS)

    def open_address(address: str) -> Page:
        page.goto(address)
        page.locator("input[name=username]").fill(ADMIN)
        page.locator("input[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/auth/" not in url)
        return page

    return open_address


def tab(page: Page) -> FrameLocator:
    """Return what is in the tab."""
    return page.frame_locator("iframe")


def all_posters_are_there(frame: FrameLocator) -> None:
    """Wait until every poster in sight has arrived."""
    for image in frame.locator(".tile img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    frame.locator("html").evaluate("(html) => html.scrollTo(0, 0)")


def test_the_video_tab(ui: Ui, opened: Callable[[str], Page], screenshots: Path) -> None:
    """A reader without a login comes back to the tab after it, where the video plays and seeks."""
    address = addresses.video_tab(REVIEW, ui.runs.review, "land")
    page = opened(address)
    video = tab(page).locator("video")

    played: dict[str, Any] = video.evaluate(SEEK)

    assert page.url == f"{ui.stack.url}/{address}"
    assert played["at"] == pytest.approx(2, abs=0.5)
    assert played["duration"] == pytest.approx(5, abs=0.2)
    assert played["width"] > 0
    assert tab(page).locator(".details .prompt").inner_text().startswith("Clouds pass")
    page.screenshot(path=screenshots / "video-tab.png", clip=TOP)


def test_the_gallery_tab(ui: Ui, opened: Callable[[str], Page], screenshots: Path) -> None:
    """The gallery of a mapped run shows each poster from S3, plays one video at a time, and says why one has failed."""
    page = opened(addresses.gallery_tab("shop", ui.runs.shop))
    frame = tab(page)
    frame.locator(".card").nth(VIDEOS - 1).wait_for()
    all_posters_are_there(frame)
    page.screenshot(path=screenshots / "gallery-tab.png")

    assert frame.locator(".card").count() == VIDEOS
    assert frame.locator(".tile img").count() == VIDEOS - 1
    failed = frame.locator(".card", has=frame.locator("details.error"))
    assert "policy violation" in failed.inner_text()
    frame.locator(".card button").first.click()
    assert frame.locator("dialog video").evaluate(SEEK)["width"] > 0
    frame.get_by_role("button", name="Next").click()
    assert frame.locator("dialog video").evaluate(SEEK)["width"] > 0
    assert frame.locator("video").count() == 1
    page.keyboard.press("Escape")
    frame.locator("dialog").wait_for(state="hidden")


def test_the_approval(ui: Ui, opened: Callable[[str], Page], screenshots: Path) -> None:
    """Who approves sees the poster and the price, and one click on it plays the video in the tab."""
    tab_of_approval = f"dags/{REVIEW}/runs/{addresses._part(ui.runs.review)}/tasks/approve/required_actions"
    page = opened(tab_of_approval)
    poster = page.locator("a img[src*='evolink/dags']")

    assert poster.evaluate("(image) => image.decode().then(() => image.width)") in range(200, 301)
    assert "credits" in page.locator("body").inner_text()
    page.screenshot(path=screenshots / "approval.png", clip=TOP)
    with page.expect_popup() as popup:
        poster.click()
    assert tab(popup.value).locator("video").evaluate(SEEK)["width"] > 0


def test_the_approving_task_shows_the_file_of_its_run(ui: Ui, opened: Callable[[str], Page]) -> None:
    """A task that has landed nothing shows the files of its run."""
    page = opened(addresses.video_tab(REVIEW, ui.runs.review, "approve"))

    assert tab(page).locator("video").evaluate(SEEK)["width"] > 0
    assert "files of its run" in tab(page).locator("#note").inner_text()


def test_what_has_not_landed(ui: Ui, opened: Callable[[str], Page], screenshots: Path) -> None:
    """The gallery says why tasks have failed or wait for their next try, and how far a batch is."""
    page = opened(addresses.gallery_tab("troubled", ui.runs.troubled))
    frame = tab(page)
    frame.locator(".card").nth(3).wait_for()
    cards = {card.locator(".prompt").inner_text(): card for card in frame.locator(".card").all()}

    assert "'evolink_marketing' was not found" in cards["no_connection"].inner_text()
    assert "A retry fails" not in cards["no_connection"].inner_text()
    cards["no_connection"].locator("summary").click()
    assert "A retry fails" in cards["no_connection"].inner_text()
    page.screenshot(path=screenshots / "gallery-reasons.png")
    assert "duration" in cards["too_long"].inner_text()
    assert "next try" in str(cards["no_storage"].text_content())
    assert "2 of 3 rows have landed" in cards["three_videos"].inner_text()


def test_a_failed_task(ui: Ui, opened: Callable[[str], Page]) -> None:
    """The tab of a mapped task that has failed says why, in place of its video."""
    states = {task["map_index"]: task["state"] for task in ui.stack.api.task_instances("shop", ui.runs.shop)}
    [failed] = [index for index, state in states.items() if state == "failed"]
    page = opened(addresses.video_tab("shop", ui.runs.shop, "videos", failed))

    tab(page).locator("details.error").wait_for()
    assert "policy violation" in tab(page).locator("details.error").inner_text()
    assert tab(page).locator("video").count() == 0


def test_the_watch_link(ui: Ui, opened: Callable[[str], Page]) -> None:
    """The link "Watch" of a mapped task leads to its own tab."""
    page = opened(f"dags/shop/runs/{addresses._part(ui.runs.shop)}/tasks/videos/mapped/0/details")
    link = page.get_by_role("link", name="Watch")

    assert link.evaluate("(link) => link.href") == (
        f"{ui.stack.url}/{addresses.video_tab('shop', ui.runs.shop, 'videos', 0)}"
    )


def test_dark_mode(ui: Ui, opened: Callable[[str], Page]) -> None:
    """The tab follows Airflow's switch between light and dark."""
    from playwright.sync_api import expect

    page = opened(addresses.gallery_tab("shop", ui.runs.shop))
    tab(page).locator(".card").first.wait_for()

    for wanted in ("dark", "light"):
        page.evaluate("(scheme) => { document.documentElement.style.colorScheme = scheme; }", wanted)
        expect(tab(page).locator("html")).to_have_css("color-scheme", wanted)
