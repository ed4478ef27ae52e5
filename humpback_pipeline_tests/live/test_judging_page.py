"""The judging page in a real browser, from the keyboard, with the server that `judge` starts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import open_browser
from human_judging import MARKUP, export
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.slow
Served = tuple[subprocess.Popen[str], str]
FOURTH = "3 of 6 judged"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Served]]:
    """Start `judge` for an annotator on the exported pairs of a home; ended with the test."""
    export(tmp_path / "human_evaluation")
    started: list[subprocess.Popen[str]] = []

    def start(annotator: str) -> Served:
        command = [sys.executable, "-m", "humpback_pipeline", "judge", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--annotator", annotator],
            env={**os.environ, "HUMPBACK_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+", line)
        return process, address

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def journal(home: Path, annotator: str) -> list[tuple[str, str]]:
    path = home / "human_evaluation" / "judgements" / f"{annotator}.jsonl"
    rows = map(json.loads, path.read_text().splitlines())
    return [(row["pair_id"], row["choice"]) for row in rows]


def press(page: Page, key: str, then: str) -> None:
    page.keyboard.press(key)
    expect(page.locator("#count")).to_have_text(then)


def test_three_pairs_from_the_keyboard_then_a_reload_goes_on_at_the_fourth(
    serve: Callable[[str], Served], browser: Browser, tmp_path: Path
) -> None:
    pairs = tmp_path / "human_evaluation" / "for_annotators" / "pairs.jsonl"
    shown = [json.loads(line) for line in pairs.read_text().splitlines()]
    process, address = serve("ada")
    page = browser.new_page()
    asked, problems = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    expect(page.locator("#first")).to_have_text(shown[0]["first"])
    press(page, "1", "1 of 6 judged")
    expect(page.locator("#second")).to_have_text(shown[1]["second"])
    press(page, "ArrowRight", "2 of 6 judged")
    press(page, "0", FOURTH)
    page.reload()
    expect(page.locator("#count")).to_have_text(FOURTH)
    expect(page.locator("#instruction")).to_have_text(shown[3]["instruction"])
    choices = ["first", "second", "no_difference"]
    made = [(row["pair_id"], choice) for row, choice in zip(shown[:3], choices, strict=True)]
    assert journal(tmp_path, "ada") == made
    # What a model wrote is text: nothing of it has become an element or run.
    assert MARKUP in page.locator("#pair").inner_text()
    assert page.locator("#pair :is(img, b)").count() == 0
    assert page.title() == "Judge pairs"
    assert {url.split("/")[2] for url in asked} == {address.removeprefix("http://")}

    process.send_signal(signal.SIGKILL)
    process.wait(10)
    page.keyboard.press("1")
    expect(page.get_by_role("alert")).to_contain_text("Not saved")
    expect(page.locator("#count")).to_have_text(FOURTH)
    assert journal(tmp_path, "ada") == made
    problems[:] = [text for text in problems if "ERR_CONNECTION" not in text]
    _, address = serve("ada")
    page.goto(address)
    expect(page.locator("#instruction")).to_have_text(shown[3]["instruction"])
    press(page, "u", "2 of 6 judged")
    expect(page.locator("#instruction")).to_have_text(shown[2]["instruction"])
    press(page, "s", "2 of 6 judged, 1 skipped")
    for n in (3, 4, 5):
        press(page, "2", f"{n} of 6 judged, 1 skipped")
    press(page, "1", "6 of 6 judged")
    expect(page.get_by_text("Nothing is left to judge")).to_be_visible()
    assert journal(tmp_path, "ada")[-1] == (shown[2]["pair_id"], "first")
    assert not problems
    page.close()


def test_page_serves_phones_the_mouse_and_those_who_want_no_keys(
    serve: Callable[[str], Served], browser: Browser, tmp_path: Path
) -> None:
    _, address = serve("bob")
    page = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme="dark")
    page.goto(address)
    button = page.get_by_role("button", name="No significant difference")
    expect(button).to_be_enabled()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    first, second = (page.locator(name).bounding_box() for name in ("#first", "#second"))
    assert first is not None
    assert second is not None
    assert first["y"] + first["height"] <= second["y"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    expect(page.get_by_role("region", name="First answer")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Pairs judged")).to_be_visible()
    button.click()
    expect(page.locator("#count")).to_have_text("1 of 6 judged")
    expect(page.get_by_role("status")).to_have_text("No difference chosen. 1 of 6 judged.")
    expect(page.locator("#question")).to_be_focused()
    page.get_by_text("How to judge").click()
    page.get_by_label("Use these keys").uncheck()
    page.keyboard.press("1")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#count")).to_have_text("0 of 6 judged")
    assert [choice for _, choice in journal(tmp_path, "bob")] == ["no_difference", "undone"]
    page.close()
