"""Secrets: used by a real run, a failing run, the UI and its alerts, and written down by none.

Every secret is a canary, put where a user puts it (the environment), and then searched for in every
byte that all of this leaves behind.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest
from alert_receivers import Webhook, webhook_receiver
from projects import ROOT, Project, free_port, make_project

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_file import RecipeError

pytestmark = pytest.mark.slow

VARIABLES = [
    *("GARDEN_API_KEY", "GARDEN_ALERT_URL", "GARDEN_SMTP_PASSWORD", "HF_TOKEN", "WANDB_API_KEY"),
    *("AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"),
]
PICKLES = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt"}
# Protocols 2 to 5 begin with these two bytes; Dagster's default I/O manager writes such files.
PICKLE_HEADS = {bytes([0x80, protocol]) for protocol in range(2, 6)}
EMAIL_FAILED = "not sent to alerts.channels.1 (email): no answer"
GRAPHQL = """
{ instance { info }
  runsOrError { ... on Runs { results { runId status runConfigYaml tags { key value } } } }
  workspaceOrError { ... on Workspace { locationEntries {
    displayMetadata { key value }
    locationOrLoadError { ... on RepositoryLocation { repositories {
      allTopLevelResourceDetails { name configuredValues { key value } configFields { name } }
      sensors { name sensorState { ticks(limit: 100) {
        status skipReason error { message stack } logEvents { events { message } } } } }
    } } ... on PythonError { message stack } } } } } }
"""
LOGS = """
query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
  ... on MessageEvent { message }
  ... on ExecutionStepFailureEvent { error {
    message stack errorChain { error { message stack } } } }
} } } }
"""


@dataclass
class Exposed:
    """A project in which all secrets were used, and everything it said."""

    project: Project
    canaries: dict[str, str]
    hook: Webhook
    requests: list[tuple[str, str]]  # path and Authorization of each request to the endpoint
    statuses: list[dg.DagsterRunStatus]
    texts: dict[str, str] = field(default_factory=dict)  # what → all that it said

    def files(self) -> Iterator[Path]:
        for root in (self.project.home, self.project.dagster_home):
            yield from (path for path in root.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    """A run that succeeds and one that fails, with the UI's sensors sending alerts."""
    canaries = {name: f"canary-{secrets.token_hex(8)}" for name in VARIABLES}
    with contextlib.ExitStack() as stack:
        hook = stack.enter_context(webhook_receiver(f"/{canaries['GARDEN_ALERT_URL']}"))
        endpoint = stack.enter_context(refusing_endpoint())
        project = make_project(
            tmp_path_factory.mktemp("secrets") / "project", recipe=recipe(endpoint.server_port)
        )
        environment = {
            **project.environment,
            **canaries,
            "GARDEN_ALERT_URL": hook.address,
            "HUMPBACK_REPORT_PORT": str(free_port()),
        }
        url, ui_log = stack.enter_context(running_ui(project, environment))
        good = run(environment)
        endpoint.model = str(project.workspace().models.path("m0"))
        # Sensors begin with what happens from now on.
        wait_until_told(url, "Initiating alert_run_failure", "failed checks begin now")
        bad = run({**environment, "HUMPBACK_SET": "generation.engine=endpoint"}, "iteration_1")
        assert good.returncode == 0, good.stdout[-3000:] + good.stderr[-3000:]
        assert bad.returncode == 1, bad.stdout[-3000:]
        wait_until_told(url, EMAIL_FAILED)
        with project.instance() as instance:
            runs = instance.get_runs()
        result = Exposed(project, canaries, hook, endpoint.seen, [run.status for run in runs])
        result.texts = {
            "output": good.stdout + good.stderr + bad.stdout + bad.stderr,
            "graphql": json.dumps([ask(url, GRAPHQL), *(ask(url, LOGS, r.run_id) for r in runs)]),
        }
        result.texts["ui"] = ui_log.read_text()
        yield result


def recipe(endpoint_port: int) -> dict[str, Any]:
    """All that takes a secret; the mail server is not there, so that its channel fails."""
    email = {
        "kind": "email",
        "smtp_host": "127.0.0.1",
        "smtp_port": free_port(),
        "smtp_password_variable": "GARDEN_SMTP_PASSWORD",
        "sender": "robot@example.org",
        "recipients": ["ada@example.org"],
    }
    return {
        "generation.endpoint": {
            "base_url": f"http://127.0.0.1:{endpoint_port}/v1",
            "api_key_variable": "GARDEN_API_KEY",
            "max_retries": 0,
        },
        "alerts.channels": [{"kind": "webhook", "url_variable": "GARDEN_ALERT_URL"}, email],
        "automation.look_every_s": 1,
    }


class RefusingEndpoint(http.server.ThreadingHTTPServer):
    """An OpenAI-compatible server that lists one model and refuses all work, quoting the key."""

    model = "none"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RefusingHandler)
        self.daemon_threads = True
        self.seen: list[tuple[str, str]] = []


class RefusingHandler(http.server.BaseHTTPRequestHandler):
    server: RefusingEndpoint

    def do_GET(self) -> None:
        self.answer(200, {"data": [{"id": self.server.model}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(400, {"error": f"no quota for {self.headers['Authorization']}"})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"] or ""))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def refusing_endpoint() -> Iterator[RefusingEndpoint]:
    server = RefusingEndpoint()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def running_ui(project: Project, environment: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """The UI with its daemon, all its output in a file."""
    port, log = free_port(), project.folder / "ui.log"
    command = [sys.executable, "-m", "humpback_pipeline", "ui", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield f"http://127.0.0.1:{port}/graphql", log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def run(environment: dict[str, str], job: str = "humpback") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "humpback_pipeline", "run", "--job", job]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def ask(url: str, query: str, run_id: str | None = None) -> dict[str, Any]:
    body = {"query": query, "variables": {"run": run_id} if run_id else {}}
    answer = httpx.post(url, json=body, timeout=60.0).json()
    assert "errors" not in answer, answer["errors"]
    return dict(answer["data"])


def wait_until_told(url: str, *texts: str, timeout_s: float = 60.0) -> None:
    """Until the UI says all of `texts`."""
    deadline = time.monotonic() + timeout_s
    told = ""
    while not all(text in told for text in texts):
        assert time.monotonic() < deadline, f"not all of {texts} were told: {told[-2000:]}"
        time.sleep(0.5)
        with contextlib.suppress(httpx.HTTPError):
            told = json.dumps(ask(url, GRAPHQL))


def content(path: Path) -> bytes:
    """A file's bytes, and what is compressed or cut into pages in them, as text."""
    raw = path.read_bytes()
    if path.suffix == ".parquet":
        raw += repr(pl.read_parquet(path).to_dicts()).encode()
    elif raw.startswith(b"SQLite format 3"):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            raw += "\n".join(database.iterdump()).encode()
    return raw


def test_every_secret_that_a_step_or_sensor_needs_was_used(exposed: Exposed) -> None:
    """Otherwise the search below would prove nothing."""
    key = exposed.canaries["GARDEN_API_KEY"]
    assert ("/v1/chat/completions", f"Bearer {key}") in exposed.requests
    assert exposed.statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    assert exposed.hook.paths[0] == f"/{exposed.canaries['GARDEN_ALERT_URL']}"
    (alert,) = [m for m in exposed.hook.messages if m["occasion"] == "run_failure"]
    assert alert["text"].startswith("rater_calibration_1: ")
    assert "HTTP 400" in alert["text"]
    assert EMAIL_FAILED in exposed.texts["graphql"]


def test_no_secret_is_written_to_any_file(exposed: Exposed) -> None:
    canaries = [canary.encode() for canary in exposed.canaries.values()]
    searched = [(path, content(path)) for path in exposed.files()]
    leaks = {
        str(path.relative_to(exposed.project.folder))
        for path, text in searched
        if any(canary in text for canary in canaries)
    }
    assert leaks == set()
    # The names of the variables are no secrets, and the search finds them where they belong.
    assert any(path.suffix == ".html" and b"GARDEN_API_KEY" in text for path, text in searched)
    assert any(path.suffix == ".db" and b"curation_scores_1" in text for path, text in searched)


@pytest.mark.parametrize("what", ["output", "graphql", "ui"])
def test_no_secret_is_printed_or_served(exposed: Exposed, what: str) -> None:
    text = exposed.texts[what]
    assert {name for name, canary in exposed.canaries.items() if canary in text} == set()
    assert len(text) > 200


def test_alerts_hold_no_secret(exposed: Exposed) -> None:
    sent = json.dumps(exposed.hook.messages)
    assert {name for name, canary in exposed.canaries.items() if canary in sent} == set()


def test_nothing_is_pickled_and_all_weights_are_safetensors(exposed: Exposed) -> None:
    files = list(exposed.files())
    assert {
        path for path in files if path.suffix in PICKLES or "training_args" in path.name
    } == set()
    assert {path for path in files if path.read_bytes()[:2] in PICKLE_HEADS} == set()
    weights = {p.parent.parent.name for p in files if p.suffix == ".safetensors"}
    assert {"backward_model", "m0", "m1"} <= weights


def test_remote_code_is_never_trusted(exposed: Exposed) -> None:
    recorded: dict[Path, set[bytes]] = {}
    for path in exposed.files():
        values = re.findall(rb"trust_remote_code\W{1,6}(\w+)", content(path))
        if values:
            recorded[path] = {value.lower() for value in values}
    assert any(path.name == "report.html" for path in recorded)
    assert set().union(*recorded.values()) <= {b"false"}


@pytest.mark.parametrize(
    "setting",
    [
        "generation.endpoint={base_url: 'http://127.0.0.1:9/v1', api_key_variable: sk-canary}",
        "alerts.channels=[{kind: slack, url_variable: 'https://hooks.example.org/canary'}]",
    ],
)
def test_secret_put_into_the_recipe_by_mistake_is_refused_and_not_quoted(setting: str) -> None:
    """Else it would stand in the UI's page of code locations, and in every report."""
    field, _, value = setting.partition("=")
    with pytest.raises(RecipeError, match="_variable: ") as error:
        load_recipe("demo", {field: value})
    assert "canary" not in str(error.value)


def test_environment_of_this_test_holds_no_canary(exposed: Exposed) -> None:
    """The children got the secrets; a fixture that set them here would hide a leak into others."""
    assert not set(exposed.canaries.values()) & set(os.environ.values())
