from __future__ import annotations

import contextlib
import gzip
import threading
import time
from pathlib import Path

import pytest
from made_up_text import prose
from web_builders import clueweb22, common_crawl, gzip_members, page, warcinfo

from humpback_pipeline.web import NotAWarcError, extractors, segment_shard
from humpback_pipeline.web.page_places import BETWEEN_PAGES
from humpback_pipeline.web.screens import Screens, ScreenSettings
from humpback_pipeline.web.time_limit import PageTimeoutError, cpu_time_limit

GOOD = page(f"<main><h1>Tides</h1><p>{prose(900)}</p></main>")
GERMAN = page(
    "<main><h1>Gezeiten</h1><p>" + "Der Hafen liegt in einer kleinen Bucht, und wer ihn bei Ebbe "
    "verlassen will, muss auf das Wasser warten und die Tafel an der Mauer lesen. "
    * 8
    + "</p></main>"
)


@pytest.fixture
def shard(tmp_path: Path):
    def write(*records: bytes, cut: int = 0) -> Path:
        data = gzip_members(*records)
        path = tmp_path / "shard.warc.gz"
        path.write_bytes(data[: len(data) - cut])
        return path

    return write


def test_segment_shard_counts_the_funnel(shard) -> None:
    sections = page(
        f"<main><h1>Guide</h1><p>{prose(3_000)}</p><h2>Good one</h2><p>{prose(800, 100)}</p>"
        f"<h2>ALL IN CAPITALS</h2><p>{prose(800, 200)}</p><h2>Short</h2><p>{prose(100, 300)}</p>"
        f"<h2>Forum</h2><p>{prose(800, 400)}</p></main>"
    )
    path = shard(
        warcinfo(),
        common_crawl(GOOD, 1),
        common_crawl(GERMAN, 2),
        common_crawl(GOOD, 3, status="500 Oops"),
        clueweb22(sections, 4),
        clueweb22(page(f"<h1>Marées</h1><p>{prose(900)}</p>"), 5, language="fr"),
        common_crawl(page(f"<p>{prose(900)}</p>"), 6),
        common_crawl(page("<h1>Tiny</h1>"), 7),
    )
    told = []
    stream = segment_shard(path, on_progress=told.append)
    segments = list(stream)
    report = stream.report
    assert [s.header for s in segments] == ["Tides", "Good one"]
    assert report.n_records == 8
    assert report.n_documents == 6
    assert report.document_drops == {
        "not_response": 1,
        "http_status": 1,
        "language": 2,
        "no_heading": 1,
        "too_little_text": 1,
    }
    assert report.segment_drops == {"header_capitals": 1, "too_short": 1, "navigation_header": 1}
    assert report.n_candidates == report.n_segments + sum(report.segment_drops.values()) == 5
    assert report.n_segments == 2
    assert report.languages == {"en": 2, "de": 1, "fr": 1}  # of those that were opened
    assert report.top_hosts == {"example.com": 2}
    assert report.partial is None
    assert report.elapsed_s > 0
    assert told[-1] is report
    (sample,) = report.drop_samples["header_capitals"]
    assert sample.header == "ALL IN CAPITALS"
    assert sample.text.startswith("## ALL IN CAPITALS")
    assert {s.url for s in report.drop_samples["language"]} == {
        "https://example.com/2",
        "https://example.com/5",
    }


def test_segment_shard_truncated_says_what_was_lost(shard) -> None:
    stream = segment_shard(shard(common_crawl(GOOD, 1), common_crawl(GOOD, 2), cut=50))
    assert len(list(stream)) == 1
    assert "truncated" in stream.report.partial
    assert stream.report.document_drops == {"truncated_record": 1}


def test_segment_shard_drop_samples_are_few(shard) -> None:
    stream = segment_shard(
        shard(*(common_crawl(GERMAN + b"<!-- %d -->" % n, n) for n in range(12)))
    )
    assert list(stream) == []
    assert stream.report.document_drops["language"] == 12
    assert len(stream.report.drop_samples["language"]) == 5


def test_segment_shard_of_any_language(shard) -> None:
    stream = segment_shard(shard(common_crawl(GERMAN, 1)), languages=None)
    list(stream)
    assert "language" not in stream.report.document_drops


@pytest.mark.parametrize("error", [RuntimeError("boom"), RecursionError("deep"), MemoryError()])
def test_segment_shard_page_that_fails_costs_one_drop(shard, monkeypatch, error) -> None:
    real = extractors.EXTRACTORS["trafilatura"]

    def failing(opened):
        if opened.document.url.endswith("/1"):
            raise error
        return real(opened)

    monkeypatch.setattr(extractors, "EXTRACTORS", {"trafilatura": failing})
    stream = segment_shard(shard(common_crawl(GOOD, 1), common_crawl(GOOD + b"<!-- 2 -->", 2)))
    assert [s.url for s in stream] == ["https://example.com/2"]
    assert stream.report.document_drops == {"extraction_error": 1}
    assert type(error).__name__ in stream.report.drop_samples["extraction_error"][0].text


def test_segment_shard_page_that_takes_too_long_costs_one_drop(shard, monkeypatch) -> None:
    real = extractors.EXTRACTORS["trafilatura"]

    def slow(opened):
        while opened.document.url.endswith("/1"):
            pass
        return real(opened)

    monkeypatch.setattr(extractors, "EXTRACTORS", {"trafilatura": slow})
    stream = segment_shard(
        shard(common_crawl(GOOD, 1), common_crawl(GOOD + b"<!-- 2 -->", 2)), max_page_cpu_s=0.5
    )
    assert [s.url for s in stream] == ["https://example.com/2"]
    assert stream.report.document_drops == {"extraction_timeout": 1}


def spin() -> None:
    while True:
        pass


def test_cpu_time_limit_counts_work_and_not_waiting() -> None:
    with cpu_time_limit(0.05):
        time.sleep(0.2)
    with pytest.raises(PageTimeoutError), cpu_time_limit(0.05):
        spin()


def stubborn() -> None:
    while True:
        with contextlib.suppress(Exception):
            spin()


def test_cpu_time_limit_ends_work_that_goes_on_after_any_exception() -> None:
    with pytest.raises(PageTimeoutError), cpu_time_limit(0.05):
        stubborn()


def test_cpu_time_limit_in_another_thread_does_nothing() -> None:
    done = []

    def work() -> None:
        with cpu_time_limit(0.001):
            done.append(sum(range(100_000)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def test_segment_shard_refuses_at_once(tmp_path: Path, shard) -> None:
    path = tmp_path / "a.txt"
    path.write_text("no")
    with pytest.raises(NotAWarcError):
        segment_shard(path)
    with pytest.raises(ValueError, match="extractor"):
        segment_shard(shard(warcinfo()), extractor="x")


def test_record_that_stands_twice_in_a_file_is_read_once_and_counted(shard) -> None:
    stream = segment_shard(shard(warcinfo(), common_crawl(GOOD, 1), common_crawl(GOOD, 1)))
    assert [segment.header for segment in stream] == ["Tides"]
    assert stream.report.document_drops["duplicate_record"] == 1


def test_segment_shard_page_that_stands_twice_under_two_addresses_is_cut_once(shard) -> None:
    stream = segment_shard(shard(common_crawl(GOOD, 1), common_crawl(GOOD, 2)))
    assert [s.url for s in stream] == ["https://example.com/1"]
    assert stream.report.document_drops == {"duplicate_page": 1}


@pytest.mark.parametrize("pack", [gzip_members, lambda *records: gzip.compress(b"".join(records))])
def test_segment_shard_page_to_skip_is_counted_with_its_reason(tmp_path: Path, pack) -> None:
    # In one member all records have one offset: only the page meant may go.
    path = tmp_path / "shard.warc.gz"
    path.write_bytes(pack(*(common_crawl(GOOD + b"<!-- %d -->" % n, n) for n in range(4))))
    told: list[int] = []
    urls = [segment.url for segment in segment_shard(path, on_page=told.append)]
    places = [place for place in told if place != BETWEEN_PAGES]
    assert len(set(places)) == len(urls) == 4
    stream = segment_shard(path, skip={places[1]: "native_crash"})
    assert [s.url for s in stream] == [urls[0], *urls[2:]]
    assert stream.report.document_drops == {"native_crash": 1}
    assert "offset" in stream.report.drop_samples["native_crash"][0].text


def test_segment_shard_masks_personal_data_in_text_and_headers(shard) -> None:
    mail = "anna.schmidt@acme-pumps.com"
    body = page(f"<h1>Write to {mail}</h1><p>{prose(900)} Ask {mail} for more.</p>")
    screens = Screens(ScreenSettings(personal_data="mask"))
    (segment,) = segment_shard(shard(common_crawl(body, 1)), screens=screens)
    assert mail not in segment.text + segment.header + "".join(segment.header_path)
    assert segment.text_chars == len(segment.text)


def test_segment_shard_blocked_url_is_not_opened(shard, tmp_path: Path) -> None:
    blocklist = tmp_path / "domains.txt"
    blocklist.write_text("example.com\n")
    stream = segment_shard(
        shard(common_crawl(GOOD, 1)), screens=Screens(ScreenSettings(url_blocklist=blocklist))
    )
    assert list(stream) == []
    assert stream.report.document_drops == {"blocked_url": 1}
