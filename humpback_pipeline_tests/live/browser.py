"""A visitor of the Dagster UI: Chromium, driven by what a person reads and clicks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from live_ui import LiveUi
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # tests run as root in containers, where Chromium's sandbox cannot
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# On two busy cores a page of the UI can take long to show its first content.
PATIENCE_MS = 30_000


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium, wherever the system has it; without one, a skip here and a failure in CI."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        reason = f"no browser found ({', '.join(NAMES)}); install Debian's chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Visitor:
    """One person with a fresh browser profile in front of one live UI."""

    def __init__(self, live: LiveUi, browser: Browser) -> None:
        self.live = live
        self.page: Page = browser.new_page(viewport={"width": 1600, "height": 1000})
        self.page.set_default_timeout(PATIENCE_MS)

    def diagnosis(self) -> str:
        """What the page says, and where its picture is."""
        picture = self.live.project.folder / "page.png"
        self.page.screenshot(path=picture)
        return f"{self.page.url}, {picture}\n{self.page.inner_text('body')[:3_000]}"

    def open(self, path: str) -> Page:
        """Go to a page of the Dagster UI."""
        self.page.goto(self.live.url + path)
        return self.page

    @property
    def dialog(self) -> Locator:
        """The open dialog."""
        return self.page.get_by_role("dialog").last

    def button(self, text: str) -> Locator:
        """The first button with this text in its name."""
        return self.page.get_by_role("button", name=text).first

    def fact(self, name: str) -> Locator:
        """The row of a page's metadata with this name."""
        cell = self.page.get_by_role("cell", name=name, exact=True)
        return self.page.get_by_role("row").filter(has=cell).first

    def materialize(self, path: str, *shards: str) -> None:
        """On the page at `path`, materialise: shards by name, or a choice such as "All"."""
        self.open(path)
        self.button("Materialize").click()
        if not shards:
            return
        if shards[0] in ("All", "Missing"):
            self.dialog.get_by_role("button", name=shards[0], exact=True).click()
        else:
            self.page.get_by_text("Select a partition or create one").click()
            options = self.page.get_by_role("menuitem")
            for shard in shards:
                options.filter(has_text=shard).click()
            self.page.keyboard.press("Escape")
        self.page.get_by_role("button", name="Launch").last.click()
        expect(self.page.get_by_text("Partition selection")).to_have_count(0)

    def write_config(self, text: str) -> None:
        """Replace what is in the launchpad's editor; the cursor ends in the last field."""
        self.page.locator(".CodeMirror").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("ArrowLeft")

    def more(self, item: str) -> None:
        """Choose an item of the menu beside the graph's "Materialize all"."""
        self.open("/asset-groups")
        self.button("Materialize all").locator("xpath=following::button[1]").click()
        self.page.get_by_text(item).last.click()
