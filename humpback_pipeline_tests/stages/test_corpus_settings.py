"""What of the recipe reaches the cutting of segments, and what has them cut again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_corpus import CorpusRecipe, FiltersRecipe, ScreensRecipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.corpus import segments_of_removed_file, segments_origin
from humpback_pipeline.stages.corpus_settings import segmenting_arguments
from humpback_pipeline.storage import Provenance
from humpback_pipeline.web import SEGMENT_SCHEMA, load_navigation_headers
from humpback_pipeline.web.shards import CorpusError

LISTS = {
    "filters.navigation_headers": "our own shelf\n",
    "screens.url_blocklist": "blocked.example\n",
    "screens.toxic_words": "frobnicate\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.warc").write_bytes(b"WARC/1.0\r\n")
    for field, text in LISTS.items():
        (tmp_path / field).write_text(text)
    return tmp_path


def open_workspace(folder: Path, **corpus: Any) -> Workspace:
    fields = {f"corpus.{name.replace('__', '.')}": str(value) for name, value in corpus.items()}
    return Workspace(load_recipe("demo", {"home": str(folder / "home"), **fields}))


def fingerprint(folder: Path, **corpus: Any) -> str:
    return segments_origin(open_workspace(folder, **corpus), "a", folder / "a.warc").fingerprint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("extractor", "resiliparse"),
        ("languages", "[de]"),
        ("languages", "[]"),
        ("min_chars", 700),
        ("max_chars", 2_000),
        ("max_html_bytes", 2_000),
        *((f"filters__{name}", 1) for name in FiltersRecipe.model_fields if "headers" not in name),
        ("screens__gopher", "true"),
        ("screens__c4", "true"),
        ("screens__personal_data", "mask"),
        ("screens__max_toxic_share", 0.5),
    ],
)
def test_setting_that_shapes_segments_has_them_cut_again(
    folder: Path, field: str, value: object
) -> None:
    assert fingerprint(folder, **{field: value}) != fingerprint(folder)


@pytest.mark.parametrize(("field", "value"), [("processes", 7), ("max_page_s", 30)])
def test_setting_that_shapes_no_segment_has_nothing_cut_again(
    folder: Path, field: str, value: object
) -> None:
    assert fingerprint(folder, **{field: value}) == fingerprint(folder)


@pytest.mark.parametrize("field", LISTS)
def test_list_of_the_user_counts_by_its_content_and_not_by_its_place(
    folder: Path, field: str
) -> None:
    name = field.replace(".", "__")
    first = fingerprint(folder, **{name: folder / field})
    (folder / "moved").write_text(LISTS[field])
    assert fingerprint(folder, **{name: folder / "moved"}) == first != fingerprint(folder)
    (folder / field).write_text(LISTS[field] + "another\n")
    assert fingerprint(folder, **{name: folder / field}) != first


def test_lists_are_in_the_provenance_under_their_fields(folder: Path) -> None:
    lists = {field.replace(".", "__"): folder / field for field in LISTS}
    origin = segments_origin(open_workspace(folder, **lists), "a", folder / "a.warc")
    assert set(origin.sources.datasets) == {f"file/corpus.{field}" for field in LISTS}
    assert isinstance(origin.sources, Provenance)


@pytest.mark.parametrize("field", LISTS)
def test_list_that_is_not_there_is_refused_by_its_field(folder: Path, field: str) -> None:
    with pytest.raises(CorpusError, match=rf"corpus\.{field}: .*absent cannot be read"):
        fingerprint(folder, **{field.replace(".", "__"): folder / "absent"})


def test_every_field_of_the_recipe_reaches_the_cutting(folder: Path) -> None:
    filters = FiltersRecipe(
        repeat_ngram=2,
        repeat_similarity=0.61,
        repeat_min_words=5,
        max_repeated_share=0.21,
        text_capitals=0.81,
        header_capitals=0.63,
        max_link_share=0.44,
        navigation_headers=folder / "filters.navigation_headers",
    )
    corpus = CorpusRecipe(
        warc_dir=folder,
        extractor="resiliparse",
        languages=("de", "fr"),
        min_chars=500,
        max_chars=900,
        max_html_bytes=5_000,
        max_page_s=0.5,
        filters=filters,
    )
    arguments = segmenting_arguments(corpus)
    thresholds = arguments["thresholds"]
    for name, value in filters.model_dump(exclude={"max_link_share", "navigation_headers"}).items():
        assert getattr(thresholds, name) == value
    assert thresholds.navigation_headers == (*load_navigation_headers(), "our own shelf")
    assert thresholds.languages == arguments["languages"] == ("de", "fr")
    assert (thresholds.min_chars, thresholds.max_chars) == (500, 900)
    limits = {"min_chars": 500, "max_chars": 900, "max_link_share": 0.44}
    assert limits.items() <= asdict(arguments["limits"]).items()
    assert arguments["extractor"] == "resiliparse"
    assert arguments["max_html_bytes"] == 5_000
    assert arguments["max_page_cpu_s"] == 0.5
    assert arguments["screens"] is None


def test_edited_list_of_headers_is_read_again(folder: Path) -> None:
    path = folder / "filters.navigation_headers"
    corpus = CorpusRecipe(warc_dir=folder, filters=FiltersRecipe(navigation_headers=path))
    assert segmenting_arguments(corpus)["thresholds"].navigation_headers[-1] == "our own shelf"
    path.write_text("another shelf\n")
    assert segmenting_arguments(corpus)["thresholds"].navigation_headers[-1] == "another shelf"


def test_no_language_means_all_of_them(folder: Path) -> None:
    arguments = segmenting_arguments(CorpusRecipe(warc_dir=folder, languages=()))
    assert arguments["languages"] is arguments["thresholds"].languages is None


def test_screens_that_are_asked_for_are_at_work(folder: Path) -> None:
    recipe = ScreensRecipe(
        url_blocklist=folder / "screens.url_blocklist",
        toxic_words=folder / "screens.toxic_words",
        max_toxic_share=0.25,
        personal_data="mask",
    )
    screens = segmenting_arguments(CorpusRecipe(warc_dir=folder, screens=recipe))["screens"]
    assert screens.page_reason("https://blocked.example/page") is not None
    assert screens.page_reason("https://open.example/page") is None
    assert screens.screen("frobnicate frobnicate now", "en").reason == "toxic"
    kept = screens.screen(
        "Frobnicate it now, or else write to ann.lee@open-letters.org at once.", "en"
    )
    assert kept.reason is None
    assert "ann.lee@open-letters.org" not in kept.text


def test_list_that_cannot_be_used_is_refused(folder: Path) -> None:
    path = folder / "empty"
    path.write_text("# nothing\n")
    filters = FiltersRecipe(navigation_headers=path)
    with pytest.raises(CorpusError, match=r"corpus\.filters\.navigation_headers: .*empty"):
        segmenting_arguments(CorpusRecipe(warc_dir=folder, filters=filters))


def test_segments_of_a_removed_file_stay_for_the_place_it_was_in_and_no_other(
    folder: Path,
) -> None:
    def cut_from(source: str, place: str) -> bool:
        workspace = open_workspace(folder, warc_dir=place)
        workspace.datasets.write(
            "clueweb_segments",
            [],
            schema=SEGMENT_SCHEMA,
            partition="a",
            facts={"warc_file": source},
        )
        return segments_of_removed_file(workspace, "a", {}) is not None

    assert cut_from("s3://bucket/crawl/a.warc.gz", "s3://bucket/crawl/")
    assert cut_from("s3://bucket/crawl/a.warc.gz", "s3://bucket/crawl")
    assert not cut_from("s3://bucket/crawl2/a.warc.gz", "s3://bucket/crawl")
    assert not cut_from("s3://bucket/crawl/a.warc.gz", str(folder))
    assert not cut_from(str(folder / "a.warc"), "s3://bucket/crawl")
    assert cut_from(str(folder / "sub" / "a.warc"), str(folder))
