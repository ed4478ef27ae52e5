"""A hub on this machine: as much of its HTTP API as creating a repository and uploading needs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OID = "c0ffee" + "0" * 34


@dataclass
class FakeHub:
    """What was sent: repositories made, files by repository, the Authorization of each request."""

    url: str = ""
    created: list[dict[str, Any]] = field(default_factory=list)
    validated: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)
    refuse: int = 0

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if self.refuse:
            return self.refuse, {"error": "no"}
        path = path.partition("?")[0]
        if path == "/api/repos/create":
            made = json.loads(body)
            self.created.append(made)
            kind = "datasets/" if made.get("type") == "dataset" else ""
            return 200, {"url": f"{self.url}/{kind}{made['organization']}/{made['name']}"}
        if path == "/api/validate-yaml":
            self.validated.append(json.loads(body))
            return 200, {"errors": [], "warnings": []}
        if path.endswith("/preupload/main"):
            wanted = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular"} for f in wanted]
            return 200, {"files": [mode | {"shouldIgnore": False} for mode in modes]}
        if path.endswith("/commit/main"):
            repository = path.removeprefix("/api/").removesuffix("/commit/main")
            files = self.files.setdefault(repository, {})
            for line in filter(None, body.split(b"\n")):
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    files[value["path"]] = base64.b64decode(value["content"])
            return 200, {"commitUrl": f"{self.url}/{repository}/commit/{OID}", "commitOid": OID}
        return 404, {"error": f"no {path}"}

    def answer_get(self, path: str) -> tuple[int, Any]:
        if self.refuse:
            return self.refuse, {"error": "no"}
        return 200, {"id": path, "sha": OID, "siblings": [], "private": True}


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub that accepts everything, until the block ends."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def _say(self, status: int, value: Any) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            hub.tokens.add(self.headers.get("Authorization"))
            self._say(*hub.answer_get(self.path))

        def do_POST(self) -> None:
            hub.tokens.add(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._say(*hub.answer(self.path, body))

        def log_message(self, *_: Any) -> None:
            """Tests say what they need."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
