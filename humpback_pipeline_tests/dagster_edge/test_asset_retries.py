"""A step is tried again after what may pass, and only then."""

import errno
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import dagster as dg
import pytest

from humpback_pipeline.assets import retries
from humpback_pipeline.assets.retries import passing_reason, retried
from humpback_pipeline.generation import EndpointError, GenerationError, LedgerBusyError
from humpback_pipeline.generation.endpoint_client import EndpointClient
from humpback_pipeline.generation.engine_process import EngineProcess
from humpback_pipeline.generation.vllm_core import _explain
from humpback_pipeline.models import BaseModelError
from humpback_pipeline.recipe import EndpointRecipe
from humpback_pipeline.recipe_file import RecipeError
from humpback_pipeline.seeds import SeedDataError
from humpback_pipeline.storage import NotMaterializedError, OutOfSpaceError


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "WAIT_S", 0.0)


def run_asset(errors: list[Exception]) -> tuple[bool, int, list[str]]:
    """(success, attempts, warnings) of an asset that raises `errors` one after the other."""
    attempts = 0

    @dg.asset
    @retried
    def work(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        nonlocal attempts
        attempts += 1
        if len(errors) >= attempts:
            raise errors[attempts - 1]
        return dg.MaterializeResult(metadata={"done": True})

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([work], instance=instance, raise_on_error=False)
        logged = instance.all_logs(result.run_id)
    said = [entry.user_message for entry in logged if entry.level == 30]
    return result.success, attempts, said


def test_step_goes_on_after_an_error_that_passed() -> None:
    success, attempts, said = run_asset(
        [MemoryError("no room"), ConnectionResetError(104, "reset")]
    )
    assert (success, attempts) == (True, 3)
    assert "memory ran out: MemoryError: no room" in said[0]
    assert "(1 of 2)" in said[0]
    assert "(2 of 2)" in said[1]


def test_third_failure_is_the_last() -> None:
    success, attempts, said = run_asset([MemoryError("no room")] * 9)
    assert (success, attempts, len(said)) == (False, 3, 2)


@pytest.mark.parametrize(
    "error",
    [
        RecipeError("training.steps: found -3"),
        SeedDataError("seeds.jsonl:3: no output"),
        BaseModelError("base_model: no such model"),
        NotMaterializedError("nothing here"),
        OutOfSpaceError("disk full"),
        OSError(errno.ENOSPC, "no space left on device"),
        FileNotFoundError(errno.ENOENT, "absent.warc.gz"),
        PermissionError(errno.EACCES, "not yours"),
        GenerationError("vLLM could not start: no such architecture"),
        ValueError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_bad_input_and_bad_config_are_tried_once(error: Exception) -> None:
    assert run_asset([error]) == (False, 1, [])


def test_error_behind_another_one_counts() -> None:
    outer = RuntimeError("could not write the version")
    outer.__cause__ = OSError(errno.ESTALE, "stale file handle")
    assert passing_reason(outer) == "a disk or connection was away"
    assert passing_reason(LedgerBusyError("another run")) == "another run holds the ledger"


def test_memory_of_torch_is_known_by_its_own_errors() -> None:
    import torch

    assert passing_reason(torch.OutOfMemoryError("CUDA out of memory.")) == "memory ran out"
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert passing_reason(caught.value) == "memory ran out"


def test_engine_that_could_not_start_is_tried_again_only_for_memory() -> None:
    full = RuntimeError(
        "Free memory on device cuda:0 (1.2/80 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 72 GiB)."
    )
    too_long = ValueError(
        "To serve at least one request with the models's max seq len (65536), 16 GiB KV cache is "
        "needed, which is larger than the available KV cache memory."
    )
    for error, reason in ((full, "memory ran out"), (too_long, None)):
        assert passing_reason(GenerationError(_explain(error, Path("m")))) == reason


def test_engine_process_that_died_is_tried_again() -> None:
    ours, theirs = socket.socketpair()
    engine = object.__new__(EngineProcess)  # a started one, without the minute it takes to start
    engine._number = 0
    engine._pipe = Connection(ours.detach())
    engine._child = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    theirs.close()
    with pytest.raises(GenerationError) as caught:
        engine.ask("complete", prompts=[[1]])
    engine.close()
    assert passing_reason(caught.value) == "the engine's process died"


@pytest.fixture
def server() -> Iterator[tuple[str, list[int]]]:
    """An HTTP server on this machine that answers with the status last in the list."""
    statuses = [503]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(statuses[-1])
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}/v1", statuses
        served.shutdown()
        thread.join()


def endpoint_error(base_url: str) -> EndpointError:
    client = EndpointClient(EndpointRecipe(base_url=base_url, max_retries=0, timeout_s=2))
    with pytest.raises(EndpointError) as caught:
        client.post("/completions", {})
    client.close()
    return caught.value


@pytest.mark.parametrize(
    ("status", "passes"), [(500, True), (503, True), (429, True), (400, False), (401, False)]
)
def test_endpoint_is_asked_again_when_it_is_busy_not_when_it_refuses(
    server: tuple[str, list[int]], status: int, passes: bool
) -> None:
    base_url, statuses = server
    statuses.append(status)
    assert (passing_reason(endpoint_error(base_url)) is not None) == passes


def test_endpoint_that_is_down_is_asked_again() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    error = endpoint_error(f"http://127.0.0.1:{port}/v1")
    assert passing_reason(error) == "the endpoint did not answer"
