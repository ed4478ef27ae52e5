"""The page's server, as an ASGI application for this machine only.

Three guards, each enough alone: only requests to localhost's own names are answered (a page
elsewhere could point its name at 127.0.0.1), requests from other origins are refused, and all but
the page itself needs a token that only the page holds. Answers are sent as JSON and shown as text.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from humpback_pipeline.judging.queue import JudgingQueue, StalePairError

ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
TOKEN_HEADER = "x-judging-token"
MAX_BODY_BYTES = 10_000
PAGE = Path(__file__).parent / "page.html"
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)


class RefusedError(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


def build_app(queue: JudgingQueue) -> Starlette:
    """The page and its three requests: the pair to judge, an answer to it, the last one undone."""
    views = _Views(queue)
    return Starlette(
        routes=[
            Route("/", views.page),
            Route("/pair", views.pair),
            Route("/judgement", views.judgement, methods=["POST"]),
            Route("/undo", views.undo, methods=["POST"]),
        ],
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=_add_headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS, www_redirect=False),
        ],
        exception_handlers={RefusedError: _refusal},
    )


class _Views:
    def __init__(self, queue: JudgingQueue) -> None:
        self._queue = queue
        self._token = secrets.token_urlsafe(24)
        self._page = PAGE.read_text(encoding="utf-8")

    async def page(self, _: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        html = self._page.replace("{{nonce}}", nonce).replace("{{token}}", self._token)
        policy = POLICY.format(nonce=nonce)
        return HTMLResponse(html, headers={"content-security-policy": policy})

    async def pair(self, request: Request) -> Response:
        self._check(request)
        return JSONResponse(self._queue.state())

    async def judgement(self, request: Request) -> Response:
        self._check(request)
        body = await _json_object(request)
        pair_id, choice = body.get("pair_id"), body.get("choice")
        if not isinstance(pair_id, str) or not isinstance(choice, str):
            raise RefusedError(400, "send pair_id and choice as text")
        return await self._changed(lambda: self._queue.answer(pair_id, choice))

    async def undo(self, request: Request) -> Response:
        self._check(request)
        return await self._changed(self._queue.undo)

    async def _changed(self, change: Callable[[], dict[str, Any]]) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(change))
        except StalePairError:  # answered already, in another tab or by a key pressed twice
            return JSONResponse(self._queue.state(), status_code=409)
        except ValueError as error:
            raise RefusedError(400, str(error)) from error
        except OSError as error:
            problem = f"{self._queue.path}: {error.strerror}"
            raise RefusedError(507, f"Not saved. {problem}") from error

    def _check(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers.get('host')}":
            raise RefusedError(403, "This request comes from another page.")
        token = request.headers.get(TOKEN_HEADER, "")
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            raise RefusedError(403, "The server was started anew. Reload this page to go on.")


async def _json_object(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedError(415, "send JSON")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError(413, "too long")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "send JSON") from error
    if not isinstance(value, dict):
        raise RefusedError(400, "send a JSON object")
    return value


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JSONResponse({"problem": str(error)}, status_code=error.status)


async def _add_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
