"""What the UI shows of the corpus: funnel, lengths, samples, and a warning where a file was cut."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from markdown_it import MarkdownIt
from projects import cut_warc

from humpback_pipeline.assets import corpus_pages
from humpback_pipeline.assets.corpus import CORPUS_ASSETS
from humpback_pipeline.assets.sparklines import INLINE_CHARS
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.sensors import range_tags
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.resources import build_workspace

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


class Tags(HTMLParser):
    """The tags of a rendered text, and what is written outside them."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(MARKDOWN.render(markdown))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


class Corpus:
    """Both corpus assets over a folder of WARC files, run in this process."""

    def __init__(self, folder: Path) -> None:
        self.shards = sorted(path.name.split(".")[0] for path in (folder / "warc").iterdir())
        definitions = dg.Definitions(
            assets=CORPUS_ASSETS,
            jobs=[dg.define_asset_job("job", dg.AssetSelection.all())],
            resources={"workspace": build_workspace(load_recipe("demo"))},
            executor=dg.in_process_executor,
        )
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions(WARC_SHARDS, self.shards)
        config = {"corpus": {"sample_segments": 5}}
        self.result = definitions.resolve_job_def("job").execute_in_process(
            instance=self.instance,
            tags=range_tags(self.shards),
            run_config={"resources": {"workspace": {"config": config}}},
            raise_on_error=False,
        )

    def metadata(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        events = [
            event.step_materialization_data.materialization
            for event in self.result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(asset) and event.partition == partition
        ]
        assert len(events) == 1
        return {name: value.value for name, value in events[0].metadata.items()}


def size_of(page: dict[str, Any]) -> int:
    """Characters of a page's metadata, the same columns on every page aside."""
    return sum(len(str(value)) for name, value in page.items() if "schema" not in name)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "warc").mkdir()
    cut_warc(folder / "warc" / "whole.warc.gz", "web-00000.warc.gz", 0, 14)
    cut_warc(folder / "warc" / "cut.warc.gz", "clueweb22-en0000-00.warc.gz", 0, 3)
    file = folder / "warc" / "cut.warc.gz"
    file.write_bytes(file.read_bytes()[:-700])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUMPBACK_RECIPE", "demo")
        patch.setenv("HUMPBACK_HOME", str(folder / "home"))
        patch.setenv("HUMPBACK_WARC_DIR", str(folder / "warc"))
        yield Corpus(folder)


def test_shard_that_was_cut_short_is_marked_and_warned_of(corpus: Corpus) -> None:
    assert corpus.result.success
    checks = {e.check_name: e for e in corpus.result.get_asset_check_evaluations()}
    warning = checks["shard_read_whole"]
    assert not warning.passed
    assert warning.severity == dg.AssetCheckSeverity.WARN
    assert re.search(
        r"cut: .*offset \d+.* What could be read is used, \d+ pages", warning.description
    )
    marked = corpus.metadata("clueweb_segments", "cut")
    assert marked["read_whole"] == "no: partial"
    assert re.search(r"offset \d+", marked["lost"])
    whole = corpus.metadata("clueweb_segments", "whole")
    assert (whole["read_whole"], whole["lost"]) == ("yes", "nothing")


def test_page_of_a_shard_shows_funnel_lengths_and_samples_in_a_small_event(
    corpus: Corpus,
) -> None:
    page = corpus.metadata("clueweb_segments", "whole")
    rows = page["dagster/row_count"]
    assert rows > 10
    assert f"| 4 segments | {rows:,} |" in page["funnel"]
    assert page["funnel"].index("HTML pages") < page["funnel"].index("– ")
    assert len(page["funnel"]) < INLINE_CHARS
    lengths = re.findall(r"\| [\d,]+-[\d,]+ \| (\d+) \|", page["lengths"])
    assert sum(map(int, lengths)) == rows
    assert "| en |" in page["languages"]
    assert page["top_hosts"].count("\n") >= 2
    assert page["samples_rendered"].count("\n> ") >= 10
    for number in range(1, 11):
        assert f"**{number}.** `http" in page["samples_rendered"]
    assert {"blockquote", "h2"} <= Tags(page["samples_rendered"]).tags
    assert size_of(page) < 40_000


def test_page_of_the_selection_shows_the_same_of_all_shards(corpus: Corpus) -> None:
    page = corpus.metadata("corpus_selection")
    shards = [corpus.metadata("clueweb_segments", shard) for shard in corpus.shards]
    n_segments = sum(shard["dagster/row_count"] for shard in shards)
    assert page["selected"] == 5
    assert f"| 4 segments | {n_segments:,} |" in page["funnel"]
    assert "| 6 selected | 5 |" in page["funnel"]
    lengths = re.findall(r"\| [\d,]+-[\d,]+ \| (\d+) \|", page["lengths"])
    assert sum(map(int, lengths)) > 0
    assert page["samples"].count("**. `") == 0
    assert "**5.** `http" in page["samples"]
    assert "not\\_sampled" in page["drop_samples"]
    assert {"languages", "top_hosts", "pages_dropped", "segments_dropped"} <= set(page)
    assert size_of(page) < 40_000


def test_funnel_of_many_reasons_still_shows_at_once_and_adds_up() -> None:
    drops = {f"a_reason_of_some_length_{n}": n for n in range(1, 31)}
    funnel = {
        "1 records": 5_000,
        "2 HTML pages": 2_000,
        "3 header subtrees": 1_000,
        "4 segments": 5,
    }
    table = corpus_pages.funnel_table(funnel, drops, drops).value
    assert len(table) < INLINE_CHARS
    numbers = [int(n.replace(",", "")) for n in re.findall(r"\| – .* \| ([\d,]+) \|", table)]
    assert sum(numbers) == 2 * sum(drops.values())
    assert "– 2" in table


def test_text_of_a_page_is_shown_and_does_nothing() -> None:
    text = (
        "## Header\n\n![pixel](http://tracker.example/p.gif) <img src=x onerror=alert(1)>\n\n"
        "\\`<script>alert(2)</script>\\`\n\n```\nif a < b: <b>bold</b>\n```\n\n- item\n"
        + "words "
        * 1_000
    )
    quoted = corpus_pages.quoted(text)
    shown = Tags(quoted)
    assert not {"img", "script", "b"} & shown.tags
    assert {"blockquote", "h2", "pre", "li"} <= shown.tags
    assert "if a < b" in shown.text
    assert "alert(2)" in shown.text
    assert len(quoted) < corpus_pages.SAMPLE_CHARS + 100


def test_samples_of_many_reasons_stay_a_small_table_with_each_reason() -> None:
    sample = {"header": "h" * 500, "url": "https://a.example/" + "p" * 500, "text": "t" * 3_000}
    samples = {f"reason-{n}": [sample] * 5 for n in range(30)}
    table = corpus_pages.drop_samples_table(samples).value
    assert all(f"reason-{n} " in table for n in range(30))
    assert len(table) < 20_000
    few = corpus_pages.drop_samples_table({"one": [sample] * 5}).value
    assert few.count("| one |") == corpus_pages.DROP_SAMPLES_PER_REASON
    duplicate = {"header": "h", "text": "t", "duplicate_of": "original"}
    table = corpus_pages.drop_samples_table({"near_duplicate": [duplicate]}).value
    assert "duplicate of original" in table
