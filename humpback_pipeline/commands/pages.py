"""The pages server beside the Dagster UI: start page, reports, lineage, comparisons.

It listens on this machine only, answers to no other host name (a web page elsewhere could point its
own name at 127.0.0.1), only reads, and loads nothing from the network.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import polars as pl
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from humpback_pipeline.commands.lineage import SourcesNow, sources_now
from humpback_pipeline.lineage import (
    Artefact,
    Catalogue,
    NothingFoundError,
    StaleReader,
    UnknownArtefactError,
    ask,
    compare,
    pages,
)
from humpback_pipeline.lineage.links import artefact_path, pages_port
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_file import RecipeError
from humpback_pipeline.stages import Workspace

PAGE_BUDGET_S = 2.0
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
SOURCES_AGE_S = 30.0
MAX_QUERY_CHARS = 2_000
# Reports are one file with everything in it; pages have a style sheet of their own and no script.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


class PagesServer:
    """Serves the pages in a thread of this process until `stop`; also a context manager.

    host: must be this machine's own. dagster_url: where the Dagster UI is, for links.
    """

    def __init__(self, host: str, port: int | None, home: Path, dagster_url: str) -> None:
        if host not in ALLOWED_HOSTS:
            raise ValueError(f"host {host!r}: the pages are served on {ALLOWED_HOSTS} only")
        self.host, self.port = host, pages_port() if port is None else port
        config = uvicorn.Config(
            build_app(home, dagster_url),
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def address(self) -> str:
        """Address of the start page."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> PagesServer:
        """Listen, then return. Raises OSError if the port is taken; port 0 takes a free one."""
        # Bound here and not by uvicorn, which would end the process if the port is taken.
        self._socket = socket.create_server((self.host, self.port), family=socket.AF_INET)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True, name="pages"
        )
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the pages server at {self.address} did not start")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Stop listening; connections still open are closed."""
        if self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        self._server.force_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        self._thread = None

    def __enter__(self) -> PagesServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def build_app(home: Path, dagster_url: str) -> Starlette:
    """The pages of a home as an ASGI application."""
    reports = home / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    views = _Views(home, pages.Site(dagster_url.rstrip("/")))
    return Starlette(
        routes=[
            Route("/", _twice(views.start)),
            Route("/lineage", _twice(views.search)),
            Route("/compare", _twice(views.compare)),
            Route("/lineage/{kind}/{name}", _twice(views.artefact)),
            Route("/lineage/{kind}/{name}/{partition:path}", _twice(views.artefact)),
            Mount("/", StaticFiles(directory=reports)),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS, www_redirect=False),
            Middleware(_AddHeaders),
        ],
        exception_handlers={HTTPException: views.problem},
    )


class _Views:
    """One function for each kind of page; each request looks at the disk anew."""

    def __init__(self, home: Path, site: pages.Site) -> None:
        self.site = site
        self._catalogue = Catalogue(home)
        self._sources: tuple[float, SourcesNow] | None = None
        self._lock = threading.Lock()

    def start(self, request: Request) -> Response:
        catalogue = self._look()
        return HTMLResponse(pages.start_page(self.site, catalogue, self._stale(catalogue)))

    def search(self, request: Request) -> Response:
        query = request.query_params.get("q", "").strip()[:MAX_QUERY_CHARS]
        if not query:
            return HTMLResponse(pages.answer_page(self.site, "", None))
        catalogue = self._look()
        if catalogue.partitions(query):
            return RedirectResponse(artefact_path("dataset", query), status_code=303)
        try:
            answer = ask(catalogue, query)
        except (NothingFoundError, UnknownArtefactError) as error:
            page = pages.answer_page(self.site, query, None, str(error))
            return HTMLResponse(page, status_code=404)
        if answer.artefact is not None:
            return RedirectResponse(pages.artefact_path(answer.artefact), status_code=303)
        return HTMLResponse(pages.answer_page(self.site, query, answer))

    def artefact(self, request: Request) -> Response:
        catalogue, params = self._look(), request.path_params
        name, partition = params["name"], params.get("partition")
        if not partition and catalogue.partitions(name):
            stale = self._stale(catalogue)
            return HTMLResponse(pages.partitions_page(self.site, catalogue, name, stale))
        key = f"{name}/{partition}" if partition else name
        found = self._resolve(catalogue, key, request.query_params.get("version", ""))
        if found.kind != params["kind"]:
            raise HTTPException(404, f"{key} is a {found.kind}.")
        stale = self._stale(catalogue)
        return HTMLResponse(pages.artefact_page(self.site, catalogue, found, stale))

    def compare(self, request: Request) -> Response:
        catalogue, query = self._look(), request.query_params
        key = query.get("name", "")
        if not key:
            return HTMLResponse(pages.compare_page(self.site, catalogue))
        a = self._resolve(catalogue, key, query.get("a") or "previous")
        b = self._resolve(catalogue, key, query.get("b") or "current")
        found = compare(catalogue, a, b)
        return HTMLResponse(pages.compare_page(self.site, catalogue, key, found))

    def problem(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known = error.detail if error.status_code == 404 else ""
        text = known if known not in ("", "Not Found") else "There is no such page."
        page = pages.problem_page(self.site, f"{error.status_code}", text)
        return HTMLResponse(page, status_code=error.status_code)

    def _resolve(self, catalogue: Catalogue, key: str, version: str) -> Artefact:
        try:
            return catalogue.resolve(key, version)
        except UnknownArtefactError as error:
            raise HTTPException(404, str(error)) from error

    def _look(self) -> Catalogue:
        return self._catalogue.renewed()

    def _stale(self, catalogue: Catalogue) -> StaleReader:
        with self._lock:
            if self._sources is None or time.monotonic() - self._sources[0] > SOURCES_AGE_S:
                self._sources = (time.monotonic(), self._sources_now(catalogue))
            now = self._sources[1]
        return StaleReader(catalogue, now.hashes, now.shards)

    def _sources_now(self, catalogue: Catalogue) -> SourcesNow:
        try:
            workspace = Workspace(load_recipe())
        except (RecipeError, OSError):
            return SourcesNow({}, None)
        if workspace.home != catalogue.home.resolve():
            return SourcesNow({}, None)  # another home's data say nothing of this one's
        # A WARC file nobody has read yet may be huge; a page does not wait for it.
        known = {key.split("/", 1)[1] for key in catalogue.keys() if "/" in key}  # noqa: SIM118
        return sources_now(workspace, only=known, budget_s=PAGE_BUDGET_S)


def _twice(view: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Look again if a version gave up its data just while it was being read."""

    def view_again(request: Request) -> Response:
        try:
            return view(request)
        except (OSError, pl.exceptions.PolarsError):
            return view(request)

    return view_again


class _AddHeaders:
    """Puts HEADERS on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_with_headers)
