"""HTTP to an OpenAI-compatible server: retries, a limit on concurrency, errors that help."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from humpback_pipeline.generation.engine import GenerationError
from humpback_pipeline.generation.streaming import Feed, Finished, Stream
from humpback_pipeline.recipe import EndpointRecipe

if TYPE_CHECKING:
    import httpx

PREFLIGHT_TIMEOUT_S = 5.0
MAX_WAIT_S = 30.0
RETRIED_STATUS = {408, 409, 429, 500, 502, 503, 504}
# A bad request, one too large, one that cannot be processed: the next one may be better.
REFUSED_STATUS = {400, 413, 422}
MAX_QUOTED_CHARS = 300


class EndpointError(GenerationError):
    """The server cannot be reached or refuses; the message names it and what to do.

    status: of its HTTP answer; None if there was none, or none that was to be expected.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def refusal(error: EndpointError) -> str:
    """Why a server calls this very request bad; any other error is raised."""
    if error.status in REFUSED_STATUS:
        return str(error)
    raise error


class EndpointClient:
    """A server's JSON API below `base_url`. Raises EndpointError.

    The API key is read from the environment variable that the recipe names, and is neither logged
    nor part of any message.
    """

    def __init__(self, settings: EndpointRecipe) -> None:
        import httpx

        self.base_url = settings.base_url.rstrip("/")
        self._settings = settings
        self._closed = threading.Event()
        limits = httpx.Limits(max_connections=settings.max_concurrent_requests)
        self._http = httpx.Client(
            headers=_authorization(settings), timeout=settings.timeout_s, limits=limits
        )

    def models(self) -> list[dict[str, Any]]:
        """What the server serves; one quick try, so that a server that is down is known at once."""
        import httpx

        try:
            response = self._http.get(f"{self.base_url}/models", timeout=PREFLIGHT_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise EndpointError(
                f"generation.endpoint.base_url: no answer from {self.base_url} "
                f"({type(error).__name__}: {error}). Start the server, for instance with "
                "'vllm serve MODEL', or correct base_url (it usually ends in /v1)."
            ) from error
        return list(self._json(self._checked(response)).get("data", []))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST with retries; the answer as JSON."""
        return self._json(self.send(path, body))

    def send(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """POST with retries: timeouts, lost connections and passing refusals are tried again.

        Waits 0.5 s, 1 s, 2 s … with jitter, or what the server asks for (Retry-After), 30 s at
        most.
        """
        import httpx

        url = f"{self.base_url}{path}"
        for attempt in range(self._settings.max_retries + 1):
            wait_s = min(MAX_WAIT_S, 0.5 * 2**attempt) * random.uniform(0.8, 1.2)
            is_last = attempt == self._settings.max_retries
            try:
                response = self._http.post(url, json=body)
            except httpx.TransportError as error:
                if is_last:
                    raise EndpointError(
                        f"{url}: {type(error).__name__}: {error} ({attempt + 1} tries). See "
                        "whether the server still runs; if it is only slow, raise "
                        "generation.endpoint.timeout_s."
                    ) from error
            else:
                if response.status_code not in RETRIED_STATUS or is_last:
                    return self._checked(response)
                wait_s = _asked_wait_s(response, wait_s)
            if self._closed.wait(wait_s):
                raise EndpointError(f"{url}: given up, as the engine has been closed")
        raise AssertionError("unreachable")

    def in_parallel(self, work: Callable[[Any], Any], feed: Feed[Any]) -> Stream:
        """`work` on what the feed gives, at most `max_concurrent_requests` at once.

        Raises what `work` raises, after the answers that came with it.
        """
        n = self._settings.max_concurrent_requests
        running: dict[Future[Any], int] = {}
        pool = ThreadPoolExecutor(n)
        try:
            while True:
                # Twice as many as are sent at once: there is always a next one.
                for i, item in feed.take(2 * n - len(running), idle=not running):
                    running[pool.submit(work, item)] = i
                if not running:
                    return
                finished: Finished = []
                failed: BaseException | None = None
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    i, error = running.pop(future), future.exception()
                    failed = failed or error
                    if error is None:
                        finished.append((i, future.result()))
                yield finished
                if failed is not None:
                    raise failed
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Close all connections; what waits to try again gives up."""
        self._closed.set()
        self._http.close()

    def _checked(self, response: httpx.Response) -> httpx.Response:
        status = response.status_code
        if status in (401, 403):
            variable = self._settings.api_key_variable
            raise EndpointError(
                f"{self.base_url} refused the API key (HTTP {status}); put a valid "
                f"one into the environment variable {variable}."
                if variable
                else f"{self.base_url} wants an API key (HTTP {status}); name the "
                "environment variable that holds it in generation.endpoint.api_key_variable.",
                status,
            )
        if status >= 400:
            quoted = self._without_key(response.text)[:MAX_QUOTED_CHARS]
            raise EndpointError(f"{response.request.url}: HTTP {status}: {quoted}", status)
        return response

    def _without_key(self, text: str) -> str:
        """What a server says, less the key: some quote it in their refusals."""
        variable = self._settings.api_key_variable
        key = os.environ.get(variable, "") if variable else ""
        return text.replace(key, "***") if key else text

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise EndpointError(
                f"{response.request.url} did not answer in JSON, so it is no OpenAI-compatible "
                "server; correct generation.endpoint.base_url (it usually ends in /v1)."
            )
        return answer


def check_endpoint(settings: EndpointRecipe) -> str:
    """Ask the server what it serves, within seconds; return a line that says it.

    Raises EndpointError if it is down, refuses the key or is no OpenAI-compatible server.
    """
    client = EndpointClient(settings)
    try:
        served = [str(model.get("id")) for model in client.models()]
    finally:
        client.close()
    return f"{client.base_url} serves {', '.join(served) or 'no model'}"


def _authorization(settings: EndpointRecipe) -> dict[str, str]:
    variable = settings.api_key_variable
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise EndpointError(
            f"generation.endpoint.api_key_variable names {variable}, which is not set; export it."
        )
    return {"Authorization": f"Bearer {key}"}


def _asked_wait_s(response: httpx.Response, default_s: float) -> float:
    try:
        return min(MAX_WAIT_S, max(0.0, float(response.headers["Retry-After"])))
    except (KeyError, ValueError):
        return default_s
