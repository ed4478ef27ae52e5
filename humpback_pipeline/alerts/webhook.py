"""POST of a small JSON body to a secret address: nothing of the address is ever told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from humpback_pipeline.alerts.errors import AlertError, PassingAlertError, reason

TIMEOUT_S = 3.0
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def post_json(address: str, body: dict[str, str]) -> None:
    """POST once. Raises PassingAlertError if another try may mend it, else AlertError.

    Redirects are not followed: the message would go to a host that nobody named.
    """
    import httpx

    failure: AlertError | None = None
    try:
        # The answer's body is of no interest and could be endless: it is not read.
        with (
            _nothing_logged(),
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream("POST", address, json=body) as response,
        ):
            failure = _complaint(response.status_code)
    except httpx.TransportError as error:
        failure = PassingAlertError(f"no answer: {reason(error)}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        failure = AlertError(f"not sent: {reason(error)}")
    # Raised out here so that it has no context: httpx's errors quote the address.
    if failure is not None:
        raise failure


def _complaint(status: int) -> AlertError | None:
    if status < 300:
        return None
    if status < 400:
        return AlertError(f"HTTP {status}, a redirect, is not followed; use the final address")
    if status in PASSING_STATUS:
        return PassingAlertError(f"HTTP {status}")
    return AlertError(f"HTTP {status}; see whether the address is still valid")


@contextmanager
def _nothing_logged() -> Iterator[None]:
    """Keep httpx and httpcore from logging addresses, here and in no other thread's requests."""
    import httpcore  # makes its loggers; httpx would import it later

    children = [
        name for name in logging.root.manager.loggerDict if name.startswith(f"{httpcore.__name__}.")
    ]
    for name in ("httpx", *children):
        logger = logging.getLogger(name)
        if _not_quiet not in logger.filters:
            logger.addFilter(_not_quiet)
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def _not_quiet(record: logging.LogRecord) -> bool:
    return not _quiet.get()
