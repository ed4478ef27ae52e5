"""Take the README's pictures from the real UI: `make demo`, then `make screenshots`.

The pictures show the run that is in DAGSTER_HOME. A UI that is being served on the port is used;
otherwise one is started and ended here. Needs Chromium and what `make setup` installs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from humpback_pipeline.lineage.links import artefact_path
from humpback_pipeline.recipe import Recipe, load_recipe

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
ARGUMENTS += ["--disable-component-update", "--disable-sync", "--hide-scrollbars"]
START_TIMEOUT_S, PAGE_TIMEOUT_MS = 90.0, 60_000
# Charts and the graph are drawn a moment after their data have come.
SETTLE_MS = 2_000
MATERIALIZATIONS = """{
  assetNodes { assetKey { path } assetMaterializations(limit: 1) { partition } }
}"""


class ScreenshotError(Exception):
    """No pictures can be taken; the message says what to do."""


@dataclass(frozen=True)
class Shot:
    """One picture: which page, how large a window, and what to do there before it is taken."""

    name: str
    address: str
    width: int
    height: int
    # Text that is there when the page has been drawn.
    waits_for: str = ""
    prepare: Callable[[Page], None] | None = None


def main() -> int:
    """Take all pictures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=3000, help="port of the Dagster UI")
    parser.add_argument("--only", default="", help="take only the picture of this name")
    options = parser.parse_args()
    recipe = load_recipe()
    dagster = f"http://127.0.0.1:{options.port}"
    pages = f"http://127.0.0.1:{os.environ.get('HUMPBACK_REPORT_PORT') or 3001}"
    try:
        browser_path = _find_browser()
        with _served_ui(options.port):
            shard = _check_materialised(dagster, f"curation_scores_{recipe.curation.iterations}")
            shots = build_shots(recipe, dagster, pages, shard)
            wanted = [shot for shot in shots if options.only in ("", shot.name)]
            _take(wanted, dagster, browser_path)
    except ScreenshotError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    return 0


def build_shots(recipe: Recipe, dagster: str, pages: str, shard: str) -> list[Shot]:
    """The pictures, in the order in which they are taken."""
    last = recipe.curation.iterations
    model, scores = f"m{last}", f"curation_scores_{last}"
    # The many assets of `evaluation` would make the others too small to read: it stays closed.
    groups = ["seed", "corpus", "augmentation", *(f"iteration_{t}" for t in range(last + 1))]
    expanded = quote(",".join(f"global@global:{group}" for group in groups), safe="")
    of_shard = f"view=partitions&partition={quote(shard, safe='')}"
    return [
        Shot("start", f"{pages}/", 1200, 900, "How good it is"),
        Shot("graph", f"{dagster}/asset-groups?expanded={expanded}", 1600, 900, model, _fit_graph),
        Shot("model", f"{dagster}/assets/{model}", 1400, 1000, "loss_curve"),
        Shot("checks", f"{dagster}/assets/{model}?view=checks", 1400, 640, "Latest execution"),
        Shot("ratings", f"{dagster}/assets/{scores}?{of_shard}", 1400, 1000, "mean_rating"),
        Shot("seed_data", f"{dagster}/assets/seed_data", 1400, 1000, "content_hash"),
        Shot("lineage", pages + artefact_path("model", model), 1200, 900, "Made from"),
        Shot("report", f"{pages}/{quote(recipe.name)}/report.html", 1200, 1000),
    ]


def _find_browser() -> str:
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise ScreenshotError(f"no browser found ({', '.join(BROWSERS)}): apt-get install chromium")


@contextmanager
def _served_ui(port: int) -> Iterator[None]:
    """The UI on `port`: the one that is there, or one of our own."""
    if _answers(port):
        print(f"Using the UI that is being served on port {port}.")
        yield
        return
    command = [sys.executable, "-m", "humpback_pipeline", "ui", "--port", str(port)]
    with TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    output.seek(0)
                    said = output.read().decode(errors="replace")[-2_000:]
                    raise ScreenshotError(f"`humpback_pipeline ui` did not start:\n{said}")
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            process.wait(60)


def _answers(port: int) -> bool:
    try:
        answer = _graphql(f"http://127.0.0.1:{port}", "{ assetNodes { id } }")
    except (httpx.HTTPError, ValueError):
        return False
    return bool(answer["assetNodes"])


def _graphql(dagster: str, query: str) -> dict[str, list[dict]]:
    answer = httpx.post(f"{dagster}/graphql", json={"query": query}, timeout=30.0)
    return dict(answer.json()["data"])


def _check_materialised(dagster: str, scores: str) -> str:
    """Raise unless the whole graph was materialised; return a shard that was rated."""
    nodes = _graphql(dagster, MATERIALIZATIONS)["assetNodes"]
    made = {node["assetKey"]["path"][0]: node["assetMaterializations"] for node in nodes}
    for name in ("report", scores):
        if not made.get(name):
            home = os.environ.get("DAGSTER_HOME", "DAGSTER_HOME")
            raise ScreenshotError(f"{name} was never materialised in {home}: run `make demo` first")
    return str(made[scores][0]["partition"])


def _take(shots: list[Shot], dagster: str, browser_path: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        page = browser.new_context(color_scheme="light").new_page()
        page.set_default_timeout(PAGE_TIMEOUT_MS)
        # Dagster remembers that its navigation was hidden, which leaves more room for the rest.
        page.goto(f"{dagster}/jobs")
        page.get_by_role("button", name="Hide navigation").click()
        for shot in shots:
            page.set_viewport_size({"width": shot.width, "height": shot.height})
            answer = page.goto(shot.address)
            if answer is None or not answer.ok:
                raise ScreenshotError(f"{shot.address} answered {answer and answer.status}")
            if shot.waits_for:
                page.get_by_text(shot.waits_for, exact=True).first.wait_for()
            page.wait_for_load_state("networkidle")
            if shot.prepare:
                shot.prepare(page)
            page.wait_for_timeout(SETTLE_MS)
            _save(page.screenshot(animations="disabled"), IMAGES / f"{shot.name}.png")
        browser.close()


def _fit_graph(page: Page) -> None:
    """Close the list beside the graph, then fit the graph into its window by a double click."""
    page.get_by_placeholder("Jump to").locator("xpath=following::button[1]").click()
    page.wait_for_timeout(SETTLE_MS)
    size = page.viewport_size
    assert size is not None
    page.mouse.dblclick(size["width"] * 0.2, size["height"] * 0.95)


def _save(png: bytes, target: Path) -> None:
    image = Image.open(BytesIO(png)).convert("RGB")
    small = BytesIO()
    # 256 colours, as few as text and thin lines bear, at a third of the size.
    image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    partial = target.with_suffix(".partial")
    partial.write_bytes(small.getvalue())
    partial.replace(target)
    print(f"{target.name}: {image.width} x {image.height}, {len(small.getvalue()) // 1024} KiB")


if __name__ == "__main__":
    sys.exit(main())
