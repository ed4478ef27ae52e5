"""The pages: what is on them, links that lead somewhere, and nothing from outside gets in."""

from __future__ import annotations

import re
import socket
import threading
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from small_home import SmallHome, page_url, segment_id
from starlette.testclient import TestClient

from humpback_pipeline.commands.pages import PagesServer, build_app
from humpback_pipeline.lineage import Catalogue, artefact_url

DAGSTER = "http://127.0.0.1:3999"
EVIL = "<script>alert('x')</script>"


@pytest.fixture
def client(home: SmallHome, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("HUMPBACK_HOME", str(home.home))
    report = home.home / "reports" / "demo" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<title>the report</title>")
    (home.home / "secret.txt").write_text("not for readers")
    return TestClient(build_app(home.home, DAGSTER), base_url="http://127.0.0.1:3001")


class Page(HTMLParser):
    """Links, elements and text of a page; complains of tags that do not match."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        if tag in ("p", "li", "td", "tr", "tbody") or self._open[-1] == tag:
            assert self._open.pop() == tag
        else:
            raise AssertionError(f"</{tag}> closes <{self._open[-1]}>")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.words += f" {data.strip()}"


def get(client: TestClient, path: str, status: int = 200) -> Page:
    response = client.get(path)
    assert response.status_code == status, response.text
    return Page(response.text)


def test_start_page_tells_the_steps_in_order_and_how_good_the_models_are(
    client: TestClient,
) -> None:
    page = get(client, "/")
    groups = re.findall(
        r"\d\. (seed|corpus|augmentation|iteration \d|evaluation)", " ".join(page.words.split())
    )
    assert groups == [
        "seed",
        "corpus",
        "augmentation",
        "iteration 0",
        "iteration 1",
        "iteration 2",
        "evaluation",
    ]
    assert "3.000 → 2.250" in page.words
    assert "40.0 %" in page.words
    assert {"/demo/report.html", DAGSTER, f"{DAGSTER}/assets/m1", "/compare"} < set(page.links)


def test_every_link_of_every_kind_of_page_leads_somewhere(
    client: TestClient, home: SmallHome
) -> None:
    home.curated(1, ("a", "b"), min_rating=3.6)
    home.keep = 5
    home.model("m1", ["seed_pairs", "curated_set_1"])
    waiting, seen = ["/"], set()
    kinds = {"start": 0, "lineage": 0, "compare": 0, "report": 0}
    while waiting and len(seen) < 150:
        path = waiting.pop(0)
        if path in seen or not path.startswith("/"):
            continue
        seen.add(path)
        kinds[path.strip("/").split("/")[0].split("?")[0].replace("demo", "report") or "start"] += 1
        waiting += get(client, path).links
    assert all(n > 0 for n in kinds.values())
    assert kinds["lineage"] > 30


def test_model_page_reaches_its_whole_origin_in_one_click(client: TestClient) -> None:
    page = get(client, "/lineage/model/m2")
    reached = {link.split("?")[0] for link in page.links if "version=" in link}
    assert {
        "/lineage/dataset/curated_set_2",
        "/lineage/dataset/curation_scores_2/a",
        "/lineage/model/m1",
        "/lineage/dataset/seed_pairs",
        "/lineage/dataset/clueweb_segments/b",
        "/lineage/dataset/win_rates",
    } < reached
    assert "WARC file" in page.words
    assert f"{DAGSTER}/assets/m2" in page.links
    assert "stale" not in page.words


def test_stale_page_says_the_root_cause(client: TestClient, home: SmallHome) -> None:
    home.seeds("s0", "s9")
    page = get(client, "/lineage/model/m1")
    assert "Why it is stale" in page.words
    assert "seed data seeds.jsonl changed (" in page.words
    assert "20 stale" not in get(client, "/lineage/dataset/clueweb_segments").words
    assert re.search(r"\d+ stale", get(client, "/").words)


def test_start_page_names_a_damaged_version(client: TestClient, home: SmallHome) -> None:
    folder = Catalogue(home.home).resolve("win_rates").folder
    (folder / "manifest.json").write_text("{")
    assert f"{folder}" in get(client, "/").words


def test_old_version_has_a_page_with_its_state_and_how_to_publish_it(
    client: TestClient, home: SmallHome
) -> None:
    first = Catalogue(home.home).resolve("curated_set_1")
    home.keep = 2
    second = home.curated(1, ("a", "b"), min_rating=3.6)
    address = artefact_url(first.manifest())
    assert address.startswith("http://127.0.0.1:3001/lineage/dataset/curated_set_1?version=")
    page = get(client, address.removeprefix("http://127.0.0.1:3001"))
    assert f"publish curated_set_1 {first.version}" in page.words
    assert f"{DAGSTER}/locations/humpback_pipeline/jobs/publish_version/launchpad" in page.links
    home.keep = 1
    home.curated(1, ("a", "b"), min_rating=2.6)
    page = get(client, f"/lineage/dataset/curated_set_1?version={first.version}")
    assert "given up" in page.words
    assert "m1" in page.words
    page = get(client, f"/compare?name=curated_set_1&a={first.version}&b={second.version}")
    assert "− 2 lost" in page.words or "−2" in page.words


def test_pair_page_and_shard_reach_models_and_names_reach_their_pages(
    client: TestClient, home: SmallHome
) -> None:
    pair = get(client, f"/lineage?q=web-{segment_id('a', 3)}")
    model = Catalogue(home.home).resolve("m1")
    assert f"/lineage/model/m1?version={model.version}" in pair.links
    assert "Models trained on it" in get(client, "/lineage?q=a").words
    pages = get(client, f"/lineage?q={page_url('a', 2)}")
    assert f"/lineage?q=web-{segment_id('a', 2)}" in pages.links
    redirected = client.get("/lineage?q=m1", follow_redirects=False)
    assert redirected.status_code == 303
    assert redirected.headers["location"] == f"/lineage/model/m1?version={model.version}"
    parts = client.get("/lineage?q=augmented_set", follow_redirects=False)
    assert parts.headers["location"] == "/lineage/dataset/augmented_set"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/lineage?q=no+such+thing", "in no version of anything"),
        ("/lineage/model/m9", "no dataset or model"),
        ("/lineage/model/seed_pairs", "seed_pairs is a dataset"),
        ("/lineage/model/m1?version=1999", "no such version"),
        ("/compare?name=nothing", "no dataset or model"),
        ("/nothing/report.html", "no such page"),
        ("/demo/", "no such page"),
    ],
)
def test_what_is_not_there_is_a_page_with_words(client: TestClient, path: str, words: str) -> None:
    assert words in get(client, path, 404).words


def test_text_of_crawled_pages_and_queries_is_never_markup(
    client: TestClient, home: SmallHome
) -> None:
    home.keep = 5
    home.augmented("a", style=EVIL)
    home.scores(1, "a")
    home.curated(1, ("a", "b"), min_rating=2.0)
    home.recipe = {"training": {"note": EVIL}}
    home.model("m1", ["seed_pairs", "curated_set_1"])
    paths = [
        f"/lineage?q=web-{segment_id('a', 3)}",
        "/lineage/dataset/curated_set_1",
        "/compare?name=curated_set_1",
        "/compare?name=m1",
    ]
    for path in paths:
        response = client.get(path)
        assert response.status_code == 200
        assert "alert(" in response.text, path
        assert "script" not in Page(response.text).tags
    for path in (f"/lineage?q={EVIL}", f'/lineage?q="><b>{EVIL}', f"/lineage/model/{EVIL}"):
        response = client.get(path)
        assert response.status_code == 404
        assert {"script", "b"}.isdisjoint(Page(response.text).tags)


def test_pages_load_nothing_from_anywhere(client: TestClient) -> None:
    response = client.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert not re.findall(r"""(?:src|@import|url\()\s*=?\s*["']?https?:""", response.text)
    assert {"script", "link", "img", "iframe"}.isdisjoint(Page(response.text).tags)


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/demo/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/demo/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//secret.txt",
        "/demo/link.txt",
    ],
)
def test_reports_folder_cannot_be_left(client: TestClient, home: SmallHome, path: str) -> None:
    (home.home / "reports" / "demo" / "link.txt").symlink_to(home.home / "secret.txt")
    # A raw request: a client would tidy the path before it sends it.
    with (
        PagesServer("127.0.0.1", 0, home.home, DAGSTER) as server,
        socket.create_connection((server.host, server.port), timeout=10) as connection,
    ):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.split()[1] in (b"404", b"400")
    assert b"not for readers" not in answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3001", 200),
        ("localhost", 200),
        ("LOCALHOST:3001", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example:3001", 400),
        ("", 400),
    ],
)
def test_other_host_names_are_refused(client: TestClient, host: str, status: int) -> None:
    assert client.get("/", headers={"Host": host}).status_code == status
    assert client.get("/demo/report.html", headers={"Host": host}).status_code == status


def test_only_reading_is_possible(client: TestClient) -> None:
    for path in ("/", "/lineage", "/lineage/model/m1", "/demo/report.html"):
        for method in ("POST", "PUT", "DELETE"):
            assert client.request(method, path).status_code == 405


def test_server_starts_serves_the_report_and_stops(home: SmallHome) -> None:
    (home.home / "reports" / "demo").mkdir(parents=True)
    (home.home / "reports" / "demo" / "report.html").write_text("<title>the report</title>")
    before = threading.active_count()
    server = PagesServer("127.0.0.1", 0, home.home, DAGSTER).start()
    try:
        response = httpx.get(f"{server.address}/demo/report.html", timeout=10)
        assert "the report" in response.text
        with pytest.raises(OSError, match="in use"):
            PagesServer("127.0.0.1", server.port, home.home, DAGSTER).start()
    finally:
        server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.address, timeout=5)
    assert threading.active_count() <= before
    with pytest.raises(ValueError, match="served on"):
        PagesServer("0.0.0.0", 0, home.home, DAGSTER)


def test_empty_home_has_a_start_page_that_says_what_to_do(tmp_path: Path) -> None:
    client = TestClient(build_app(tmp_path / "new", DAGSTER), base_url="http://localhost")
    page = get(client, "/")
    assert "No model has been trained yet" in page.words
    assert get(client, "/compare")
    assert get(client, "/lineage?q=m1", 404)
