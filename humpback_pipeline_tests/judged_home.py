"""A home with small responses of three models, and a judge behind a real HTTP server."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from endpoint_server import Reply, Server

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.responses import BASE_RESPONSES, RESPONSES_SCHEMA

MODELS = {"base": BASE_RESPONSES, "m0": "m0_responses", "m1": "m1_responses"}
REFERENCE = "A reference of middling length."


def answers_of(model: str, n: int) -> list[str]:
    """The base's are bad, M_0's good every third time, M_1's two times in three."""
    good = {"base": 0, "m0": 1, "m1": 2}[model]
    return [f"{'good' if i % 3 < good else 'bad'} answer {i} of {model}" for i in range(n)]


@dataclass
class JudgeServer:
    """Prefers good answers to the reference and the reference to bad ones; leans to the first."""

    lean: float = 0.0
    refuses: str = "\0"
    server: Server = field(default_factory=Server)

    def __post_init__(self) -> None:
        self.server.reply = self.reply

    def reply(self, path: str, body: dict[str, Any]) -> Reply:
        """As a server with log-probabilities, or with structured outputs where it is asked."""
        text = body["messages"][0]["content"]
        if self.refuses in text:
            return 400, "no"
        first = text.partition("Answer 1:\n")[2].partition("\n\nAnswer 2:")[0]
        second = text.partition("Answer 2:\n")[2].partition("\n\nWhich answer")[0]
        p = 0.5 + 0.3 * (_worth(first) - _worth(second)) + self.lean
        usage = {"prompt_tokens": 50, "completion_tokens": 1}
        if "response_format" in body:
            content = json.dumps({"choice": "1" if p > 0.5 else "2"})
            return 200, {"choices": [{"message": {"content": content}}], "usage": usage}
        top = [{"token": t, "logprob": math.log(q)} for t, q in (("1", p), ("2", 1 - p))]
        told = {"message": {"content": "1"}, "logprobs": {"content": [{"top_logprobs": top}]}}
        return 200, {"choices": [told], "usage": usage}


def _worth(answer: str) -> int:
    return 1 if answer.startswith("good") else -1 if answer.startswith("bad") else 0


def judged_home(folder: Path, server: Server, n_prompts: int = 9, **fields: Any) -> Workspace:
    """A home with responses of `MODELS` to made-up prompts, judged by `server`.

    fields: of the recipe, dots as double underscores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [
        {
            "instruction": f"Question {i}?",
            "output": REFERENCE,
            "generator": "writer",
            "dataset": "q",
        }
        for i in range(n_prompts)
    ]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    given = {
        "home": folder / "home",
        "curation.iterations": 1,
        "evaluation.prompts": path,
        "evaluation.judge": json.dumps(
            {
                "engine": "endpoint",
                "model": "tiny",
                "endpoint": {"base_url": server.base_url, "max_retries": 0},
                "usd_per_million_prompt_tokens": 2.0,
                "usd_per_million_completion_tokens": 10.0,
            }
        ),
        **{name.replace("__", "."): value for name, value in fields.items()},
    }
    workspace = Workspace(load_recipe("demo", {name: str(value) for name, value in given.items()}))
    for model in MODELS:
        write_answers(workspace, model, answers_of(model, n_prompts))
    return workspace


def write_answers(workspace: Workspace, model: str, outputs: Sequence[str]) -> None:
    """A version of a model's responses."""
    from humpback_pipeline.seeds import read_evaluation_prompts

    prompts = read_evaluation_prompts(workspace.recipe.evaluation.prompts)
    rows: list[Mapping[str, Any]] = [
        {
            "prompt_id": prompt.prompt_id,
            "instruction": prompt.instruction,
            "output": output,
            "reference": prompt.output,
            "generator": model,
            "n_tokens": 5,
            "finish_reason": "stop",
        }
        for prompt, output in zip(prompts, outputs, strict=True)
    ]
    frame = pl.DataFrame(rows, schema=RESPONSES_SCHEMA)
    workspace.datasets.write(MODELS[model], frame, schema=RESPONSES_SCHEMA)
