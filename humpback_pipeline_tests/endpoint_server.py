"""A real HTTP server that speaks the OpenAI-compatible API, answering as a test tells it to."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from humpback_pipeline.generation import GenerationRequest, notebook_settings
from humpback_pipeline.recipe import EndpointRecipe, GenerationRecipe

Reply = tuple[int, dict[str, Any] | str]


class Server:
    """Serves `models`; answers POSTs with `reply(path, body)`; remembers what it was sent."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = [{"id": "tiny", "owned_by": "vllm"}]
        self.reply: Callable[[str, dict[str, Any]], Reply] = lambda path, body: (200, echo(body))
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: set[str | None] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"state": self})
        self._http = _Http(("127.0.0.1", 0), handler)
        self.base_url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.bodies.append(body)
            self.paths.append(path)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.reply(path, body)
        finally:
            with self._lock:
                self._at_once -= 1

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    request_queue_size = 64  # with five, connections that come at once are retried after a second


class _Handler(BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        self.state.keys.add(self.headers.get("Authorization"))
        self._send(200, {"data": self.state.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(*self.state.answer(self.path, body))

    def _send(self, status: int, value: dict[str, Any] | str) -> None:
        content = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        if status == 429 or status >= 500:  # so that no test waits
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def echo(body: dict[str, Any]) -> dict[str, Any]:
    tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
    message = {"role": "assistant", "content": f"echo {body['messages'][-1]['content']}"}
    return {
        "choices": [{"message": message, "finish_reason": "stop", "logprobs": {"content": tokens}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }


def candidates(**probabilities: float) -> dict[str, Any]:
    top = [{"token": t.replace("_", " "), "logprob": math.log(p)} for t, p in probabilities.items()]
    token = {**top[0], "top_logprobs": top}
    return {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [token]}}]}


def settings_for(base_url: str, **fields: Any) -> GenerationRecipe:
    endpoint = EndpointRecipe(base_url=base_url, **fields)
    return notebook_settings().model_copy(update={"engine": "endpoint", "endpoint": endpoint})


def requests_of(*texts: str, prefix: str = "") -> list[GenerationRequest]:
    return [GenerationRequest(text, [{"role": "user", "content": text}], prefix) for text in texts]
