"""AlpacaEval's files in and out, against the library's own loader, metrics and tool."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from humpback_pipeline.__main__ import main
from humpback_pipeline.evaluation import length_control
from humpback_pipeline.evaluation.alpaca_eval_files import (
    AlpacaEvalFileError,
    Annotation,
    ModelOutput,
    read_annotations,
    read_outputs,
    write_annotations,
    write_outputs,
)
from humpback_pipeline.evaluation.annotation_rates import (
    try_length_control,
    win_rates_of_annotations,
)

JUDGE = "judge at http://127.0.0.1:1/v1"


def annotations(n: int = 30, model: str = "m1", seed: int = 0) -> list[Annotation]:
    rng = random.Random(seed)
    return [
        Annotation(
            instruction=f'Ask "{i}" – it’s\u2028odd, é 漢字',
            output_1="r" * rng.randint(20, 400),
            output_2="m" * rng.randint(20, 400),
            generator_1="text_davinci_003",
            generator_2=model,
            preference=None if i == 3 else 1 + rng.random(),
            annotator=JUDGE,
            dataset="helpful_base" if i % 2 else "koala",
        )
        for i in range(n)
    ]


@contextmanager
def library() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import alpaca_eval.metrics
        import alpaca_eval.utils

        yield alpaca_eval


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "m1" / "annotations.json"
    write_annotations(path, annotations())
    assert read_annotations(path) == annotations()
    outputs = [ModelOutput("Ask?", "", "m1", "koala"), ModelOutput("And?", "Yes\n", "m1")]
    write_outputs(tmp_path / "model_outputs.json", outputs)
    assert read_outputs(tmp_path / "model_outputs.json") == outputs
    prompt = {"instruction": "Ask?", "reference_output": "Yes.", "reference": "davinci"}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(prompt))
    assert read_outputs(tmp_path / "prompts.jsonl") == [ModelOutput("Ask?", "Yes.", "davinci")]


def test_library_reads_our_annotations_and_finds_the_same_rates(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    write_annotations(path, annotations())
    (ours,) = win_rates_of_annotations(path)
    with library() as alpaca_eval:
        theirs = alpaca_eval.metrics.get_winrate(
            alpaca_eval.utils.load_or_convert_to_dataframe(path)
        )
    measured = ours.win_rate
    assert measured.rate == pytest.approx(theirs["win_rate"], abs=1e-9)
    assert measured.standard_error == pytest.approx(theirs["standard_error"], abs=1e-9)
    assert (measured.n_wins, measured.n_losses, measured.n_draws, measured.n) == (
        theirs["n_wins"],
        theirs["n_wins_base"],
        theirs["n_draws"],
        theirs["n_total"],
    )
    assert (measured.n, measured.n_unusable) == (29, 1)


def longer_is_better(prompts: list[str], **_: Any) -> dict[str, list[Any]]:
    """Completions of an annotator that runs here: which of the two answers is the longer."""
    said = []
    for prompt in prompts:
        _, first, second = prompt.split("|||")
        said.append("Output (a)" if len(first) > len(second) else "Output (b)")
    n = len(prompts)
    return {"completions": said, "price_per_example": [0] * n, "time_per_example": [0] * n}


def test_alpaca_evals_tool_runs_on_our_outputs_and_we_read_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = annotations()
    files = {"m1": tmp_path / "model_outputs.json", "ref": tmp_path / "reference_outputs.json"}
    write_outputs(files["m1"], [ModelOutput(r.instruction, r.output_2, "m1", "q") for r in rows])
    write_outputs(files["ref"], [ModelOutput(r.instruction, r.output_1, "ref", "q") for r in rows])
    (tmp_path / "template.txt").write_text("{instruction}|||{output_1}|||{output_2}")
    outputs = {1: r"Output \(a\)", 2: r"Output \(b\)"}
    config = {
        "by_length": {
            "prompt_template": str(tmp_path / "template.txt"),
            "fn_completions": "runs_here",
            "completions_kwargs": {"model_name": "none"},
            "completion_parser_kwargs": {"outputs_to_match": outputs},
            "batch_size": 1,
        }
    }
    (tmp_path / "configs.yaml").write_text(yaml.safe_dump(config))
    with library():
        from alpaca_eval import main as tool
        from alpaca_eval.annotators import base

        monkeypatch.setattr(base, "get_fn_completions", lambda name: longer_is_better)

        board, _ = tool.evaluate(
            model_outputs=str(files["m1"]),
            reference_outputs=str(files["ref"]),
            annotators_config=str(tmp_path),
            output_path=str(tmp_path / "theirs"),
            precomputed_leaderboard=None,
            fn_metric="get_winrate",
            sort_by="win_rate",
            is_return_instead_of_print=True,
            is_avoid_reannotations=False,
            caching_path=None,
        )
    (found,) = (tmp_path / "theirs").rglob("annotations.json")
    (ours,) = win_rates_of_annotations(found)
    longer = sum(len(row.output_2) > len(row.output_1) for row in rows)
    assert ours.win_rate.rate == pytest.approx(float(board.loc["m1", "win_rate"]))
    assert ours.win_rate.rate == pytest.approx(100 * longer / len(rows))
    assert (ours.model, ours.baseline) == ("m1", "ref")


def test_older_spellings_and_lines_are_read(tmp_path: Path) -> None:
    record = {"instruction": "a", "output_1": "b", "output_2": "c", "price_per_example": 0.1}
    values = [0, 1, 1.5, 2.0, None, float("nan"), -1, "1.25"]
    path = tmp_path / "annotations.jsonl"
    lines = [json.dumps({**record, "preference": value}) for value in values]
    path.write_text("\ufeff" + "\n\n".join(lines) + "\n", encoding="utf-8")
    read = [annotation.preference for annotation in read_annotations(path)]
    assert read == [1.5, 1.0, 1.5, 2.0, None, None, None, 1.25]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no records"),
        ("[]", "no records"),
        ("[1]", "record 1: 1 is not an object"),
        ('[{"instruction": "a"', "not JSON"),
        ('{"instruction": "a"}\n{', "line 2: not JSON"),
        ('{"instruction": "a", "output_1": "b"}', "line 1: output_2 must be a text; only"),
        ('[{"instruction": "a", "output_1": "b", "output_2": 5}]', "output_2 must be a text; it"),
        ('[{"instruction": "a", "output_1": "b", "output_2": "c"}]', "preference is missing"),
        (
            '[{"instruction": "a", "output_1": "b", "output_2": "c", "preference": 3}]',
            "preference is 3",
        ),
        (
            '[{"instruction": "a", "output_1": "b", "output_2": "c", "preference": true}]',
            "preference is True",
        ),
        (
            '[{"instruction": "a", "output_1": "b", "output_2": "c", "preference": null}]',
            "none of the 1 preferences is usable",
        ),
    ],
)
def test_file_in_another_format_is_refused_by_record(
    text: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(text)
    with pytest.raises(AlpacaEvalFileError, match=r"annotations\.json") as caught:
        win_rates_of_annotations(path)
    assert complaint in str(caught.value)


def test_models_and_annotators_of_one_file_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    write_annotations(path, [*annotations(10, "m0"), *annotations(20, "m1", seed=1)])
    assert [(rate.model, rate.win_rate.n) for rate in win_rates_of_annotations(path)] == [
        ("m0", 9),
        ("m1", 19),
    ]


def test_length_control_says_why_there_is_none() -> None:
    few, note = try_length_control(annotations(4))
    assert few is None
    assert "at least 5" in note
    rate, note = try_length_control(annotations(30))
    assert rate is not None
    assert rate.method == "length_controlled_minimal"
    assert "not comparable with AlpacaEval's leaderboard" in note


def test_leaderboards_formula_without_its_table_is_replaced_only_where_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(length_control, "alpaca_eval_indexes", lambda frame: [*range(len(frame))])
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    rate, note = try_length_control(annotations())
    assert rate is None
    assert "df_gamed.csv" in note
    rate, note = try_length_control(annotations(), fall_back=True)
    assert rate is not None
    assert rate.method == "length_controlled_minimal"
    assert "lacks its table" in note
    assert "not comparable" in note


def test_command_prints_the_figures_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "annotations.json"
    rows = annotations(6)
    write_annotations(path, [*rows[:3], *rows[4:]])
    (rate,) = win_rates_of_annotations(path)
    assert main(["win-rate", str(path)]) == 0
    printed = capsys.readouterr().out
    assert f"m1 against text_davinci_003, judged by {JUDGE}" in printed
    assert f"win rate              {rate.win_rate.rate!r} %" in printed
    assert f"standard error        {rate.win_rate.standard_error!r}" in printed
    assert "(length_controlled_minimal)" in printed
    assert "Small sample: with 5 prompts" in printed


def test_command_names_a_bad_file_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('[{"preference": 1}]')
    ended = subprocess.run(
        [sys.executable, "-m", "humpback_pipeline", "win-rate", str(path)],
        env={**os.environ, "HUMPBACK_TRACEBACK": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "record 1: instruction must be a text" in ended.stderr
    assert "Traceback" not in ended.stderr
