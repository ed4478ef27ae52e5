"""Long inference survives: nothing lost, nothing stale, at most a chunk asked a second time."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.generation import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    Ledger,
    choose_all,
    generate_all,
)
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.generation.ledger import Answer
from humpback_pipeline.generation.resuming import answer_with_ledger
from humpback_pipeline.generation.streaming import Feed, Stream, Task, WindowFeed
from humpback_pipeline.recipe_curation import SamplingRecipe


class Killed(BaseException):
    """Ends a run as a signal would, where a test can catch it."""


@dataclass
class Shuffling(ClosesOnExit):
    """An engine that begins up to `width` requests and finishes them out of order.

    It is killed instead of finishing the answer after `life` others, and notes all it has begun.
    """

    life: int
    width: int = 4
    model_hash: str = "hash"
    name: str = "shuffling"
    n_truncated: int = 0

    def __post_init__(self) -> None:
        self.begun: list[str] = []

    @property
    def identity(self) -> dict[str, str | int]:
        return {"engine": "shuffling", "model": self.model_hash}

    def stream(self, task: Task, feed: Feed[GenerationRequest]) -> Stream:
        running: list[tuple[int, GenerationRequest]] = []
        while True:
            taken = feed.take(self.width - len(running), idle=not running)
            self.begun += [request.request_id for _, request in taken]
            running += taken
            if not running:
                return
            self.life -= 1
            if self.life < 0:
                raise Killed
            i, asked = running.pop(self.life % len(running))
            yield [(i, self._answer(task, asked))]

    def _answer(self, task: Task, request: GenerationRequest) -> Generation | ChoiceProbabilities:
        if task.method == "choose":
            return ChoiceProbabilities(request.request_id, (0.25, 0.75), 0.5)
        said = f"{self.model_hash} {task.arguments[0]} {request.messages[0]['content']}"
        return Generation(request.request_id, said, "stop", 1, 1, -0.5)


def request(request_id: str, prompt: str) -> GenerationRequest:
    return GenerationRequest(request_id, [{"role": "user", "content": prompt}])


@dataclass(frozen=True)
class LedgerOf(Ledger):
    """A ledger that nobody can write to once its engine has been killed, as they die together."""

    engine: Shuffling

    def append(self, answers: Mapping[str, Answer]) -> None:
        if self.engine.life < 0:
            raise Killed
        super().append(answers)


SAMPLING = SamplingRecipe()
ids = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["x", "yy", "zzz"])))


@settings(max_examples=60, deadline=None)
@given(
    named=ids,
    lives=st.lists(st.integers(0, 12), max_size=4),
    chunk_size=st.integers(1, 9),
    width=st.integers(1, 12),
)
def test_killed_runs_redo_at_most_a_chunk_and_end_with_every_row(
    tmp_path_factory: pytest.TempPathFactory,
    named: list[tuple[str, str]],
    lives: list[int],
    chunk_size: int,
    width: int,
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "shard.jsonl")
    requests = [request(name, prompt) for name, prompt in named]
    n_begun, n_kills = 0, 0
    for life in [*lives, 1_000]:
        engine = Shuffling(life, width)
        n_known = len(ledger.read())
        try:
            answers = generate_all(
                requests,
                engine,
                SAMPLING,
                ledger=LedgerOf(ledger.path, engine),
                chunk_size=chunk_size,
            )
        except Killed:
            n_kills += 1
            assert len(engine.begun) - (len(ledger.read()) - n_known) <= chunk_size
        n_begun += len(engine.begun)

    assert [(a.request_id, a.text) for a in answers] == [
        (name, f"hash {SAMPLING} {prompt}") for name, prompt in named
    ]
    assert n_begun <= len(set(named)) + n_kills * chunk_size
    assert len(ledger.read()) == len(set(named))


@given(n=st.integers(0, 40), size=st.integers(1, 10), takes=st.lists(st.integers(0, 9)))
def test_window_never_holds_more_than_its_size(n: int, size: int, takes: list[int]) -> None:
    feed = WindowFeed(list(range(n)), size)
    taken: list[tuple[int, int]] = []
    for most in takes:
        got = feed.take(most, idle=False)
        taken += got
        assert len(got) <= most
        assert feed.n_unsaved <= size
        feed.saved(feed.n_unsaved // 2)
    assert taken == [(i, i) for i in range(len(taken))]


def test_rows_that_ask_the_same_stay_rows_of_their_own() -> None:
    requests = [request("a", "same"), request("b", "same"), request("a", "same")]
    engine = Shuffling(100)

    answers = generate_all(requests, engine, SAMPLING)

    assert [answer.request_id for answer in answers] == ["a", "b", "a"]
    assert sorted(engine.begun) == ["a", "b"]


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.1},
        {"top_p": 0.5},
        {"max_new_tokens": 7},
        {"model_hash": "other"},
        {"prompt": "other"},
        {"answer_prefix": "Score: "},
        {"cuttable": ("prompt",)},
    ],
)
def test_no_answer_is_replayed_when_anything_has_changed(
    changed: dict[str, Any], tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")
    asked = request("a", "prompt")
    generate_all([asked], Shuffling(1), SAMPLING, ledger=ledger)
    again = Shuffling(0)
    assert generate_all([asked], again, SAMPLING, ledger=ledger)[0].text.endswith("prompt")
    assert again.begun == []

    sampling = SAMPLING.model_copy(
        update={name: value for name, value in changed.items() if name in SAMPLING.model_dump()}
    )
    engine = Shuffling(1, model_hash=changed.get("model_hash", "hash"))
    if "prompt" in changed:
        asked = request("a", changed["prompt"])
    own = {name: changed[name] for name in ("answer_prefix", "cuttable") if name in changed}
    asked = replace(asked, **own)

    generate_all([asked], engine, sampling, ledger=ledger)

    assert engine.begun == ["a"]


def test_methods_do_not_answer_for_each_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")
    part = ledger.part("choices")
    generate_all([request("a", "p")], Shuffling(1), SAMPLING, ledger=ledger)
    chosen = choose_all([request("a", "p")], Shuffling(1), ("1", "2"), ledger=part)

    assert chosen == [ChoiceProbabilities("a", (0.25, 0.75), 0.5)]
    assert part.path.name == "shard.choices.jsonl"
    assert choose_all([request("a", "p")], Shuffling(0), ("1", "2"), ledger=part) == chosen
    assert choose_all([request("a", "p")], (other := Shuffling(1)), ("1", "3"), ledger=part)
    assert other.begun == ["a"]
    assert generate_all([request("a", "p")], Shuffling(0), SAMPLING, ledger=ledger)


def test_requests_are_begun_longest_first_and_come_back_in_order() -> None:
    requests = [request(str(n), "word " * (n * 7 % 11)) for n in range(11)]
    engine = Shuffling(100, width=1)

    answers = generate_all(requests, engine, SAMPLING, chunk_size=3)

    lengths = [int(name) * 7 % 11 for name in engine.begun]
    assert lengths == sorted(lengths, reverse=True)
    assert [answer.request_id for answer in answers] == [str(n) for n in range(11)]


@settings(max_examples=80, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_damaged_byte_costs_a_line_at_most_and_never_an_answer(
    tmp_path_factory: pytest.TempPathFactory, place: float, byte: int
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "shard.jsonl")
    answers = {f"k{n}": {"text": f"räksmörgås {n}", "p": n / 7} for n in range(6)}
    ledger.append(answers)
    content = bytearray(ledger.path.read_bytes())
    content[int(place * len(content))] = byte
    ledger.path.write_bytes(content)

    read = ledger.read()

    assert read.items() <= answers.items()
    assert len(read) >= len(answers) - 2  # a lost line break spoils two lines
    ledger.append(answers)
    assert ledger.read() == answers
    ledger.keep_only(set(answers))
    assert ledger.path.read_bytes().count(b"\n") >= len(answers)


def test_damaged_lines_are_counted_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")
    ledger.append({"a": {"text": "1"}})
    with ledger.path.open("ab") as file:
        file.write(b'\xff\xfe{"key"\n' + b"\0" * 40 + b'\n{"key": "b", "answer": {}}\n')
    ledger.append({"c": {"text": "3"}})
    caplog.set_level(logging.WARNING)

    assert ledger.read().keys() == {"a", "c"}
    assert "shard.jsonl: 3 damaged line(s)" in caplog.text


def test_full_disk_is_an_error_and_leaves_what_was_saved(tmp_path: Path) -> None:
    """A limit on the file's size stands for the disk: the kernel ends the write midway."""
    ledger = Ledger(tmp_path / "shard.jsonl")
    ledger.append({"a": {"text": "x" * 100}})
    before = ledger.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        with pytest.raises(OSError, match=r"cannot be saved.*shard\.jsonl") as caught:
            ledger.append({"b": {"text": "y" * 200}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert caught.value.errno == errno.EFBIG
    assert ledger.path.read_bytes() == before
    ledger.append({"b": {"text": "y"}})
    assert ledger.read().keys() == {"a", "b"}


def test_full_disk_ends_the_run_and_its_engine(tmp_path: Path) -> None:
    closed: list[bool] = []

    def answering(feed: Feed[str]) -> Stream:
        try:
            while taken := feed.take(1, idle=True):
                yield [(i, {"text": record}) for i, record in taken]
        finally:
            closed.append(True)

    class Full(Ledger):
        def append(self, answers: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(["a", "b"], answering, Full(tmp_path / "shard.jsonl"))
    assert closed == [True]


def run(records: Sequence[str], answering: Any, ledger: Ledger) -> list[Any]:
    return answer_with_ledger(
        records, records, answering, ledger=ledger, chunk_size=4, stage="test", unit="records"
    )


# Loads the model once; then each attempt is a fork of it, killed when it has begun so many more.
KILL_SCRIPT = textwrap.dedent(
    """
    import json, os, random, signal, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    import torch
    from tiny_settings import tiny_settings
    from humpback_pipeline.generation import (
        GenerationRequest, Ledger, generate_all, open_generator
    )
    from humpback_pipeline.generation.streaming import MappedFeed
    from humpback_pipeline.recipe_curation import SamplingRecipe

    torch.set_num_threads(1)
    model, home, _, chunk_size = sys.argv[1:5]
    home, chunk_size = Path(home), int(chunk_size)
    asked = home / "asked"
    settings = tiny_settings("transformers", max_concurrent_sequences=4)
    engine = open_generator(model, settings, cache_dir=home / "cache")
    plain_stream = engine.stream

    def noting_stream(task, feed):
        def note(i, request):
            with asked.open("a") as file:
                file.write(request.request_id + "\\n")
            return request
        return plain_stream(task, MappedFeed(feed, note))

    engine.stream = noting_stream
    requests = [
        GenerationRequest(f"r{n}", [{"role": "user", "content": f"{n} " + "so " * (n % 9)}])
        for n in range(240)
    ]

    def attempt():
        answers = generate_all(
            requests, engine, SamplingRecipe(max_new_tokens=4),
            ledger=Ledger(home / "ledger.jsonl"), chunk_size=chunk_size,
        )
        (home / "rows").write_text(json.dumps([answer.request_id for answer in answers]))

    def n_asked():
        return len(asked.read_bytes().splitlines()) if asked.exists() else 0

    def ended(child):
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    random.seed(7)
    n_killed = 0
    for _ in range(5):
        fatal = n_asked() + random.randint(1, 60)
        child = os.fork()
        if child == 0:
            try:
                attempt()
            finally:
                os._exit(0)
        while n_asked() < fatal and not ended(child):
            time.sleep(0.001)
        time.sleep(random.random() * 0.1)
        os.kill(child, signal.SIGKILL)
        n_killed += os.waitpid(child, 0)[1] == signal.SIGKILL
    saved = len(Ledger(home / "ledger.jsonl").read())
    attempt()
    print(json.dumps({"killed": n_killed, "saved": saved, "asked": n_asked()}))
    """
)


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [5, 16])
def test_run_killed_at_random_moments_ends_with_the_rows_of_an_unkilled_one(
    tiny_model: Path, tmp_path: Path, chunk_size: int
) -> None:
    helpers = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILL_SCRIPT,
            str(tiny_model),
            str(tmp_path),
            helpers,
            str(chunk_size),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout.splitlines()[-1])
    asked = (tmp_path / "asked").read_text().split()

    assert json.loads((tmp_path / "rows").read_text()) == [f"r{n}" for n in range(240)]
    assert told["killed"] >= 3
    assert 0 < told["saved"] < 240
    assert set(asked) == {f"r{n}" for n in range(240)}
    assert len(asked) == told["asked"] <= 240 + told["killed"] * chunk_size
    assert len(Ledger(tmp_path / "ledger.jsonl").read()) == 240


# A run worker that makes a step as Dagster's executor does; the step has its engine answer at
# length. All three numbers are printed.
TREE_SCRIPT = textwrap.dedent(
    """
    import multiprocessing, os, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    from tiny_settings import tiny_settings
    from humpback_pipeline.generation import EngineSlot, GenerationRequest
    from humpback_pipeline.generation.process import die_with_parent
    from humpback_pipeline.generation.transformers_process import TransformersProcess
    from humpback_pipeline.recipe_curation import SamplingRecipe

    def step():
        die_with_parent()
        engine = TransformersProcess(
            Path(sys.argv[1]), tiny_settings("transformers"), cache_dir=Path(sys.argv[2])
        )
        print(os.getppid(), os.getpid(), engine.pid, flush=True)
        requests = [GenerationRequest("r", [{"role": "user", "content": "Hi"}])]
        while True:
            engine.generate(requests, SamplingRecipe(max_new_tokens=4_000))

    child = multiprocessing.get_context("fork").Process(target=step)
    child.start()
    child.join()
    """
)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
@pytest.mark.parametrize("killed", ["run worker", "step"])
def test_engine_at_work_ends_with_the_step_and_the_run_worker(
    killed: str, tiny_model: Path, cache_dir: Path
) -> None:
    helpers = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", TREE_SCRIPT, str(tiny_model), str(cache_dir), helpers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pids = [int(pid) for pid in worker.stdout.readline().split()]
        processes = [psutil.Process(pid) for pid in pids]
        assert pids[0] == worker.pid

        os.kill(pids[0 if killed == "run worker" else 1], 9)

        _, alive = psutil.wait_procs(processes[1:], timeout=15)
        worker.kill()
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
