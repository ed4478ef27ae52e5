"""Another try for what another try can mend: a machine that stumbled, never bad input.

Answers and ratings lie in ledgers and trainings have checkpoints, so a step tried again goes on
where it stopped.
"""

import errno
import functools
import re
from collections.abc import Callable, Iterator

import dagster as dg

from humpback_pipeline.generation import EndpointError, GenerationError, LedgerBusyError
from humpback_pipeline.stages.checks.loading import is_out_of_memory
from humpback_pipeline.stages.training_process import TrainingProcessError

MAX_RETRIES = 2
WAIT_S = 30.0

# A network disk that was away for a moment; a full one, a missing file or a refused access stay so.
PASSING_ERRNOS = {
    errno.EIO,
    errno.ESTALE,
    errno.EAGAIN,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EREMOTEIO,
}
# The engine's child can hand over nothing but a text.
MEMORY_TEXT = re.compile(r"out of memory|free some memory", re.IGNORECASE)
PASSING_STATUS = re.compile(r": HTTP (408|409|429|5\d\d):")

# Of torch and vLLM, which are too heavy to import for their names.
PASSING_CLASSES = {"EngineDeadError", "AcceleratorError"}

AssetFunction = Callable[..., dg.MaterializeResult]


def retried(function: AssetFunction) -> AssetFunction:
    """Have an asset's step tried again, at most twice, after an error that may pass.

    Every other error goes through untouched. To be put below `@dg.asset`.
    """

    @functools.wraps(function)
    def wrapper(
        context: dg.AssetExecutionContext, *arguments: object, **resources: object
    ) -> dg.MaterializeResult:
        try:
            return function(context, *arguments, **resources)
        except Exception as error:
            reason = passing_reason(error)
            if reason is None:
                raise
            tried = context.retry_number
            if tried < MAX_RETRIES:
                context.log.warning(
                    f"{reason}: {type(error).__name__}: {error}\nTrying again in {WAIT_S:.0f} s "
                    f"({tried + 1} of {MAX_RETRIES}); what was finished is not done again."
                )
            raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=WAIT_S) from error

    return wrapper


def passing_reason(error: BaseException) -> str | None:
    """Why this error may be gone at the next try, in a few words; None if it will not be."""
    for cause in _chain(error):
        if is_out_of_memory(cause):
            return "memory ran out"
        if type(cause).__name__ in PASSING_CLASSES:
            return "the engine or the GPU failed"
        if isinstance(cause, TrainingProcessError):
            return cause.passing or None
        if isinstance(cause, LedgerBusyError):
            return "another run holds the ledger"
        if isinstance(cause, EndpointError):
            return _endpoint_reason(cause)
        if isinstance(cause, GenerationError):
            return _engine_reason(cause)
        if isinstance(cause, OSError) and cause.errno in PASSING_ERRNOS:
            return "a disk or connection was away"
    return None


def _endpoint_reason(error: EndpointError) -> str | None:
    import httpx

    if isinstance(error.__cause__, httpx.TransportError):
        return "the endpoint did not answer"
    if PASSING_STATUS.search(str(error)):
        return "the endpoint is overloaded or restarting"
    return None


def _engine_reason(error: GenerationError) -> str | None:
    if isinstance(error.__cause__, EOFError | OSError):
        return "the engine's process died"
    return "memory ran out" if MEMORY_TEXT.search(str(error)) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__
