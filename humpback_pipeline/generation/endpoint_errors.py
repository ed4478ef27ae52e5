"""What an endpoint may fail with, and which of it belongs to one request alone."""

from __future__ import annotations

from humpback_pipeline.generation.engine import GenerationError

# A bad request, one too large, one that cannot be processed: the next one may be better.
REFUSED_STATUS = {400, 413, 422}


class EndpointError(GenerationError):
    """The server cannot be reached or refuses; the message names it and what to do.

    status: of its HTTP answer; None if there was none, or none that was to be expected. is_passing:
    trying again may help; retry_after_s: in so many seconds, if the server says so.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        *,
        is_passing: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_passing = is_passing
        self.retry_after_s = retry_after_s


class RefusedError(EndpointError):
    """The server is there, but fails at what it is asked: its own fault, or that of the requests.

    is_its_own: the one request's, as the server still answers others.
    """

    def __init__(
        self, message: str, status: int | None = None, *, is_its_own: bool = False
    ) -> None:
        super().__init__(message, status)
        self.is_its_own = is_its_own


def refusal(error: EndpointError) -> str:
    """Why a server cannot answer this very request; any other error is raised."""
    if error.status in REFUSED_STATUS or (isinstance(error, RefusedError) and error.is_its_own):
        return str(error)
    raise error
