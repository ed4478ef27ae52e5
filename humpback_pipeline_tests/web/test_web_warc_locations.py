"""WARC files behind URLs: a local web server with and without ranges, and fsspec's memory store."""

from __future__ import annotations

import gzip
import random
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from web_builders import clueweb22, common_crawl, gzip_members, page

from humpback_pipeline.storage import remote
from humpback_pipeline.storage.remote import (
    LocationError,
    RemoteFile,
    open_location,
    redacted,
    remote_identity,
)
from humpback_pipeline.web import NotAWarcError, read_documents
from humpback_pipeline.web.shards import (
    CorpusError,
    EmptyCorpusError,
    find_shards,
    lies_below,
    list_shards,
)
from humpback_pipeline.web.warc import read_document


def noisy_page(number: int, size: int) -> bytes:
    return page(f"<h1>Tides {number}</h1>" + random.Random(number).randbytes(size).hex())


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; answers Range as real servers do, if so told, and fails for a while."""

    with_ranges: ClassVar = True
    failures: ClassVar = 0
    requests: ClassVar[list[tuple[str, str | None]]] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Handler.requests.append((self.path, wanted))
        if Handler.failures > 0:
            Handler.failures -= 1
            self.send_error(503)
            return
        path = Path(self.translate_path(self.path))
        if not (wanted and self.with_ranges and path.is_file()):
            super().do_GET()
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        data = path.read_bytes()
        part = data[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        # A common fault of servers: calling an archive an encoding.
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_address[1]}", folder
    web.shutdown()
    web.server_close()
    Handler.with_ranges, Handler.failures = True, 0
    Handler.requests.clear()


@pytest.fixture
def memory() -> Iterator[str]:
    store = fsspec.filesystem("memory")
    yield "memory://crawl"
    store.rm("/crawl", recursive=True) if store.exists("/crawl") else None


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.0)


@pytest.mark.parametrize("with_ranges", [True, False])
def test_read_documents_over_http_reads_every_page(server, with_ranges) -> None:
    url, folder = server
    Handler.with_ranges = with_ranges
    pages = [noisy_page(n, 40_000) for n in range(8)]
    (folder / "a.warc.gz").write_bytes(
        gzip_members(*(clueweb22(p, n) for n, p in enumerate(pages)))
    )
    reader = read_documents(f"{url}/a.warc.gz?signature=secret")
    documents = list(reader)
    assert [document.html for document in documents] == pages
    assert {document.warc_file for document in documents} == {"a.warc.gz"}
    assert (reader.dropped, reader.partial) == ({}, None)
    again = read_document(f"{url}/a.warc.gz", documents[5].record_offset)
    assert again.html == pages[5]


@pytest.mark.parametrize("with_ranges", [True, False])
def test_read_documents_over_http_goes_on_after_damage(server, with_ranges) -> None:
    url, folder = server
    Handler.with_ranges = with_ranges
    members = [gzip_members(clueweb22(noisy_page(n, 5_000), n)) for n in range(4)]
    damaged = members[1][:2_000] + bytes(100) + members[1][2_100:]
    (folder / "a.warc.gz").write_bytes(members[0] + damaged + members[2] + members[3][:-100])
    reader = read_documents(f"{url}/a.warc.gz")
    assert [document.url[-1] for document in reader] == ["0", "2"]
    assert reader.dropped == {"malformed_record": 1, "truncated_record": 1}


def test_remote_file_is_fetched_in_pieces_and_not_whole(server) -> None:
    url, folder = server
    data = random.Random(0).randbytes(3_000_000)
    (folder / "a.bin").write_bytes(data)
    with RemoteFile(f"{url}/a.bin", block_bytes=100_000) as file:
        file.seek(1_000_000)
        assert file.read(10) == data[1_000_000:1_000_010]
        assert file.tell() == 1_000_010
        assert file.seek(-5, 2) == len(data) - 5
        assert file.read() == data[-5:]
        assert file.read(10) == b""
    ranges = [wanted for _, wanted in Handler.requests if wanted]
    assert len(ranges) == 2
    fetched = [int(r.split("-")[1]) - int(r.split("-")[0][6:]) for r in ranges]
    assert sum(fetched) < 300_000


def test_remote_file_failed_request_is_tried_again_and_then_an_error(server) -> None:
    url, folder = server
    (folder / "a.warc.gz").write_bytes(gzip_members(clueweb22(noisy_page(1, 10), 1)))
    Handler.failures = 2
    assert len(list(read_documents(f"{url}/a.warc.gz"))) == 1
    reader = read_documents(f"{url}/a.warc.gz")
    Handler.failures = 0
    with pytest.raises(FileNotFoundError, match=r"absent\.warc"):
        read_documents(f"{url}/absent.warc")
    reader.close()
    Handler.failures = 99
    with pytest.raises(OSError, match="cannot be read") as caught:
        list(read_documents(f"{url}/a.warc.gz?key=secret"))
    assert "secret" not in str(caught.value).split("(")[0]


def test_list_shards_over_http_where_the_server_lists(server) -> None:
    url, folder = server
    for name in ("en00/a b.warc.gz", "en00/b.warc.zst", "c.arc", "notes.txt", "x.warc.gz.part"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(gzip_members(clueweb22(page("<p>a"), 1)))
    shards = list_shards(f"{url}/")
    assert list(shards) == ["c", "en00--a b", "en00--b"]
    assert list_shards(url) == shards
    assert len(list(read_documents(shards["en00--a b"]))) == 1
    assert list_shards(f"{url}/en00/b.warc.zst") == {"b": f"{url}/en00/b.warc.zst"}
    with pytest.raises(CorpusError, match="no such folder"):
        list_shards(f"{url}/absent/")
    (folder / "en01").mkdir()
    with pytest.raises(CorpusError, match="Name the URL of one file") as caught:
        list_shards(f"{url}/en01/")
    assert not isinstance(caught.value, EmptyCorpusError)


def test_list_shards_of_a_store_sees_new_files(memory) -> None:
    store = fsspec.filesystem("memory")
    with pytest.raises(CorpusError, match="no such folder"):
        list_shards(memory)
    store.makedirs("/crawl/empty")
    with pytest.raises(EmptyCorpusError):
        list_shards(memory)
    store.pipe("/crawl/en/a.warc", common_crawl(page("<p>a"), 1))
    assert list_shards(memory) == {"en--a": "memory://crawl/en/a.warc"}
    store.pipe("/crawl/b.warc.gz", gzip.compress(common_crawl(page("<p>b"), 2)))
    shards = list_shards(memory)
    assert list(shards) == ["b", "en--a"]
    assert [d.url for key in shards for d in read_documents(shards[key])] == [
        "https://example.com/2",
        "https://example.com/1",
    ]
    assert find_shards(memory)["b"].info["size"] > 0
    store.pipe("/crawl/en/a.arc", b"")
    with pytest.raises(CorpusError, match="same name"):
        list_shards(memory)


def test_remote_identity_changes_with_the_content(memory, server) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/crawl/a.warc", b"a")
    first = remote_identity("memory://crawl/a.warc")
    assert first == remote_identity("memory://crawl/a.warc")
    store.pipe("/crawl/a.warc", b"b")
    assert first != remote_identity("memory://crawl/a.warc")
    url, folder = server
    (folder / "a.warc").write_bytes(b"a")
    first = remote_identity(f"{url}/a.warc")
    assert first.startswith("store:")
    (folder / "a.warc").write_bytes(b"bb")
    assert first != remote_identity(f"{url}/a.warc")
    with pytest.raises(FileNotFoundError):
        remote_identity(f"{url}/b.warc")


def test_empty_remote_file_is_no_warc(memory) -> None:
    fsspec.filesystem("memory").pipe("/crawl/a.warc.gz", b"")
    with pytest.raises(NotAWarcError, match="it is empty"):
        read_documents("memory://crawl/a.warc.gz")


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("gs://bucket/a.warc.gz", "pip install gcsfs"),
        ("xyz://bucket/a.warc.gz", "s3://bucket"),
        ("https://me:pass@example.com/a.warc.gz", "environment"),
    ],
)
def test_url_that_cannot_be_used_names_the_remedy(url, remedy) -> None:
    with pytest.raises(LocationError, match=remedy) as caught:
        open_location(url)
    assert "pass@" not in str(caught.value)
    with pytest.raises(CorpusError, match=remedy):
        list_shards(url.rpartition("/")[0])


def test_store_without_its_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(LocationError, match="pip install s3fs"):
        read_documents("s3://bucket/a.warc.gz")


def test_list_shards_of_one_local_file(tmp_path: Path) -> None:
    path = tmp_path / "one.warc.zst"
    path.touch()
    assert list_shards(path) == {"one": path}


@pytest.mark.parametrize(
    ("source", "folder", "below"),
    [
        ("s3://b/crawl/a.warc", "s3://b/crawl/", True),
        ("s3://b/crawl-2/a.warc", "s3://b/crawl", False),
        ("https://h/a.warc", "https://h/a.warc?token=1", True),
        ("/data/crawl/a.warc", "s3://b/crawl", False),
        ("s3://b/crawl/a.warc", Path("/data"), False),
        ("/data/crawl/a.warc", Path("/data"), True),
    ],
)
def test_lies_below_knows_paths_and_urls(source, folder, below) -> None:
    assert lies_below(source, folder) is below


def test_redacted_hides_what_signs_a_url() -> None:
    assert redacted("https://u:p@h/a.warc?X-Amz-Signature=1#x") == "https://h/a.warc"
    assert redacted(Path("a?b")) == "a?b"
    assert redacted("s3://bucket/what?.warc") == "s3://bucket/what?.warc"
