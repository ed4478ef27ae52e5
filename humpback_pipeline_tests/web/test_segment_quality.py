"""The benchmark's own judgement of segments: reference sections, recall, suspect lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from segment_judging.sections import reference_sections
from segment_judging.suspect_lines import boilerplate_lines, suspects
from segment_quality import page_recall

from humpback_pipeline.web import Document

SENTENCE = "A queue gives back what was put in first and waits while there is nothing in it. "


def page(container: str) -> bytes:
    numbered = "".join(f"Point {n} of them: {SENTENCE}" for n in range(8))
    return (
        f"<html><body><nav><h2>Menu</h2><p>{SENTENCE * 9}</p></nav><{container}>"
        f"<h1>Queues</h1><p>All about queues.</p><h2>Use<a class='headerlink' href='#u'>¶</a></h2>"
        f"<p>{numbered}</p><h2>Short</h2><p>{SENTENCE}</p></{container.split()[0]}></body></html>"
    ).encode()


@pytest.mark.parametrize("container", ["main", "div class='body' role='main'", "article", "div"])
def test_reference_sections_of_each_kind_of_container(container) -> None:
    sections = reference_sections(page(container))
    assert [(s.header, s.level) for s in sections] == [("Queues", 1), ("Use", 2)]
    assert "Menu" not in sections[0].text
    assert "Short" in sections[0].text


def test_page_recall_counts_what_a_segment_holds() -> None:
    recall = page_recall(Document("d", "http://a.example/", "en", page("main")), "trafilatura")
    assert (recall.n, recall.n_found, recall.n_covered) == (2, 2, 2)
    assert recall.found == 1.0


def test_boilerplate_lines_names_the_suspect_ones() -> None:
    text = f"# Share this\n\n{SENTENCE}\n\nShare this\n\nWe use cookies.\n\n```\nShare\n```\n"
    assert boilerplate_lines(text) == ["Share this", "We use cookies."]
    found = suspects([text, f"# Queues\n\n{SENTENCE}"])
    assert (found.n, found.n_suspect, found.share) == (2, 1, 0.5)
