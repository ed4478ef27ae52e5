"""HTTP to an OpenAI-compatible server: retries, a limit on concurrency, errors that help."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from humpback_pipeline.generation.endpoint_errors import EndpointError, RefusedError
from humpback_pipeline.generation.streaming import Feed, Finished, Stream
from humpback_pipeline.recipe import EndpointRecipe

if TYPE_CHECKING:
    import httpx

PREFLIGHT_TIMEOUT_S = 5.0
MAX_WAIT_S = 30.0
RETRIED_STATUS = {408, 409, 429}  # and all from 500 on: proxies have statuses of their own
MAX_QUOTED_CHARS = 300
# Requests that a server fails at while it answers others; more are the server's failure.
MAX_GIVEN_UP, MAX_GIVEN_UP_SHARE = 20, 0.01


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
        self._lock = threading.Lock()
        self._n_answered = self._n_given_up = 0
        self._answered: dict[str, dict[str, Any]] = {}  # the last request answered, by path
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
        most. Raises RefusedError if the server fails to the last (5xx).
        """
        for attempt in range(self._settings.max_retries + 1):
            try:
                response = self.send_once(path, body)
            except EndpointError as error:
                is_last = attempt == self._settings.max_retries
                if is_last and error.status is not None and error.status >= 500:
                    is_its_own = self._answers_others(path)
                    raise RefusedError(str(error), error.status, is_its_own=is_its_own) from error
                if is_last or not error.is_passing:
                    raise
                wait_s = error.retry_after_s
                if wait_s is None:
                    wait_s = 0.5 * 2**attempt * random.uniform(0.8, 1.2)
            else:
                with self._lock:
                    self._n_answered += 1
                    self._answered[path] = body
                return response
            if self._closed.wait(min(MAX_WAIT_S, wait_s)):
                raise EndpointError(
                    f"{self.base_url}{path}: given up, as the engine has been closed"
                )
        raise AssertionError("unreachable")

    def send_once(
        self, path: str, body: dict[str, Any], timeout_s: float | None = None
    ) -> httpx.Response:
        """POST without retries; `timeout_s` replaces the recipe's."""
        import httpx

        url = f"{self.base_url}{path}"
        try:
            response = self._http.post(
                url, json=body, timeout=timeout_s or self._settings.timeout_s
            )
        except httpx.TransportError as error:
            raise EndpointError(
                f"{url}: {type(error).__name__}: {error}. See whether the server still runs; if "
                "it is only slow, raise generation.endpoint.timeout_s.",
                is_passing=True,
            ) from error
        return self._checked(response)

    def _answers_others(self, path: str) -> bool:
        """Whether a request that was answered before is answered still, when another is given up.

        Not asked when too many have been given up: then they fail for the server's reasons.
        """
        with self._lock:
            self._n_given_up += 1
            most = MAX_GIVEN_UP + MAX_GIVEN_UP_SHARE * self._n_answered
            known = self._answered.get(path) if self._n_given_up <= most else None
        if known is None or self._closed.is_set():
            return False
        try:
            self.send_once(path, known)
        except EndpointError:
            return False
        return True

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
            raise EndpointError(
                f"{response.request.url}: HTTP {status}: {quoted}",
                status,
                is_passing=status >= 500 or status in RETRIED_STATUS,
                retry_after_s=_retry_after_s(response),
            )
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


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
