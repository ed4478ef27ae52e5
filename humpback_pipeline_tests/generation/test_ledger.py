"""The ledger: nothing is asked twice, nothing is lost, whenever the process dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.generation.ledger import Ledger, LedgerBusyError, ledger_key
from humpback_pipeline.generation.resuming import answer_with_ledger
from humpback_pipeline.generation.streaming import in_batches
from humpback_pipeline.progress import Progress

# Answers ten records in chunks of three and kills itself before the chunk that holds `fatal`.
SCRIPT = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from functools import partial
    from humpback_pipeline.generation.ledger import Ledger
    from humpback_pipeline.generation.resuming import answer_with_ledger
    from humpback_pipeline.generation.streaming import in_batches

    folder, fatal = Path(sys.argv[1]), sys.argv[2]

    def answer(chunk):
        if fatal in chunk:
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / "asked").open("a") as file:
            file.write("".join(record + "\\n" for record in chunk))
        return [{"text": record.upper()} for record in chunk]

    records = [f"r{n}" for n in range(10)]
    answers = answer_with_ledger(
        records, records, partial(in_batches, answer), ledger=Ledger(folder / "ledger.jsonl"),
        chunk_size=3, stage="test", unit="records",
    )
    print(" ".join(answer["text"] for answer in answers))
    """
)


def run_script(folder: Path, fatal: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), fatal]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_answers_resume_without_asking_twice_after_kill(tmp_path: Path) -> None:
    killed = run_script(tmp_path, "r7")
    assert killed.returncode == -signal.SIGKILL
    assert len(Ledger(tmp_path / "ledger.jsonl").read()) == 6

    resumed = run_script(tmp_path, "none")

    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.split() == [f"R{n}" for n in range(10)]
    assert (tmp_path / "asked").read_text().split() == [f"r{n}" for n in range(10)]
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert len(lines) == len({json.loads(line)["key"] for line in lines}) == 10


answers = st.dictionaries(
    st.text(min_size=1),
    st.fixed_dictionaries({"text": st.text(), "p": st.floats(allow_nan=False)}),
    max_size=6,
)


@given(first=answers, second=answers, cut=st.integers(min_value=0, max_value=400))
def test_read_keeps_whole_lines_when_last_is_torn(
    tmp_path_factory: pytest.TempPathFactory, first: dict, second: dict, cut: int
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "shard.jsonl")
    ledger.append(first)
    whole = ledger.path.read_bytes() if first else b""
    torn = whole[: max(0, len(whole) - cut)]
    ledger.path.write_bytes(torn)
    n_whole = len([line for line in torn.splitlines() if line in whole.splitlines()])

    survivors = ledger.read()
    ledger.append(second)

    assert survivors == dict(list(first.items())[:n_whole])
    assert ledger.read() == survivors | second


def ask_all(
    records: list[str],
    keys: list[str],
    ledger: Ledger | None,
    asked: list[str],
    chunk_size: int = 2,
) -> list[str]:
    def answer(chunk: list[str]) -> list[dict[str, str]]:
        asked.extend(chunk)
        return [{"text": record * 2} for record in chunk]

    found = answer_with_ledger(
        records,
        keys,
        partial(in_batches, answer),
        ledger=ledger,
        chunk_size=chunk_size,
        stage="test",
        unit="records",
    )
    return [answer["text"] for answer in found]


@given(
    records=st.lists(st.sampled_from("abcdefgh"), max_size=20),
    known=st.sets(st.sampled_from("abcdefgh")),
    chunk_size=st.integers(min_value=1, max_value=7),
)
def test_answers_follow_request_order_whatever_is_known(
    tmp_path_factory: pytest.TempPathFactory, records: list[str], known: set[str], chunk_size: int
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "shard.jsonl")
    ask_all(sorted(known), sorted(known), ledger, [])
    asked: list[str] = []

    assert ask_all(records, records, ledger, asked, chunk_size) == [r * 2 for r in records]
    assert sorted(asked) == sorted(set(records) - known)
    assert ledger.read().keys() == set(records)


def test_stale_keys_are_forgotten_when_all_is_answered(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")
    ask_all(["a", "b"], ["a-old", "b-old"], ledger, [])

    ask_all(["a", "b"], ["a-new", "b-new"], ledger, [])

    assert ledger.read().keys() == {"a-new", "b-new"}


def test_unreadable_lines_are_asked_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")
    ask_all(["a", "b"], ["a", "b"], ledger, [])
    ledger.path.write_bytes(ledger.path.read_bytes() + b'\xff\xfe\n[1, 2]\n{"key": "c"}\n')
    asked: list[str] = []

    assert ask_all(["a", "b", "c"], ["a", "b", "c"], ledger, asked) == ["aa", "bb", "cc"]
    assert asked == ["c"]


def test_second_writer_is_refused_while_ledger_is_held(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")
    with (
        ledger.locked(),
        pytest.raises(LedgerBusyError, match="another run"),
        Ledger(ledger.path).locked(timeout_s=0.1),
    ):
        pass


def test_progress_tells_what_the_ledger_already_held(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")
    ask_all(["a", "b"], ["a", "b"], ledger, [])
    told: list[Progress] = []
    records = ["a", "b", "c", "d", "e"]

    answer_with_ledger(
        records,
        records,
        partial(in_batches, lambda chunk: [{"text": ""} for _ in chunk]),
        ledger=ledger,
        chunk_size=2,
        stage="rating",
        unit="pairs",
        on_progress=told.append,
    )

    assert (told[-1].done, told[-1].total, told[-1].unit) == (3, 3, "pairs")
    assert "2 more were in the ledger" in str(told[-1])


@pytest.mark.parametrize(
    "changed", [{"model": "other"}, {"temperature": 0.8}, {"messages": [{"role": "user"}]}]
)
def test_key_changes_with_every_fact(changed: dict[str, object]) -> None:
    facts = {"model": "m", "temperature": 0.7, "messages": []}

    assert ledger_key("id", "generate", **facts) == ledger_key("id", "generate", **facts)
    assert ledger_key("id", "generate", **facts) != ledger_key("id", "generate", **facts | changed)
    assert ledger_key("id", "generate", **facts) != ledger_key("id2", "generate", **facts)
    assert ledger_key("id", "generate", **facts) != ledger_key("id", "choose", **facts)
