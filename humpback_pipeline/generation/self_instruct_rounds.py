"""The rounds of Self-Instruct: tasks, outputs, and the pool that grows with them."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from humpback_pipeline.generation.answering import generate_all
from humpback_pipeline.generation.engine import Generation, GenerationRequest, TextGenerator
from humpback_pipeline.generation.few_shot import (
    completed,
    few_shot_request,
    fitting_demonstrations,
)
from humpback_pipeline.generation.few_shot_prompts import PlainPrompts
from humpback_pipeline.generation.ledger import Ledger
from humpback_pipeline.generation.seeds import request_seed
from humpback_pipeline.generation.self_instruct_filters import (
    BAD_REQUEST,
    CUT_TASK,
    NO_TASK,
    SIMILAR,
    SURPLUS,
    normalised,
    output_problem,
    parse_tasks,
    task_problem,
)
from humpback_pipeline.generation.self_instruct_similarity import InstructionPool
from humpback_pipeline.progress import OnProgress, one_line
from humpback_pipeline.recipe_self_instruct import SelfInstructSettings

PAIR_COLUMNS = {"pair_id": pl.String, "instruction": pl.String, "output": pl.String}
DROPPED_COLUMNS = {
    "round": pl.Int64,
    "reason": pl.String,
    "instruction": pl.String,
    "text": pl.String,
}
# So few are answered as fast as one.
MIN_PROMPTS = 4
MIN_OUTPUTS_AT_ONCE = 16
CHARS_PER_WORD = 7


class SelfInstructRounds:
    """The pool as it grows, round by round."""

    def __init__(
        self,
        seeds: pl.DataFrame,
        generator: TextGenerator,
        settings: SelfInstructSettings,
        prompts: PlainPrompts,
        ledger_folder: Path,
        chunk_size: int,
        on_progress: OnProgress,
    ) -> None:
        self._generator, self._settings, self._prompts = generator, settings, prompts
        self._folder, self._chunk_size, self._on_progress = ledger_folder, chunk_size, on_progress
        self._seed_tasks = _shown_tasks(seeds, settings.max_words)
        self._pool = InstructionPool(seeds["instruction"].to_list())
        self._outputs = {normalised(output) for output in seeds["output"]}
        self.demonstrations = fitting_demonstrations(
            seeds,
            settings.n_output_demonstrations,
            prompts,
            generator,
            settings.output_sampling,
            settings.max_words * CHARS_PER_WORD,
            seed=settings.seed,
        )
        self.pairs: list[tuple[str, str, str]] = []
        self.dropped: list[tuple[int, str, str, str]] = []
        self.n_prompts = self.n_prompts_cut = 0
        self._n_dropped: Counter[str] = Counter()

    def do_round(self, number: int) -> int:
        """Ask for tasks, then for outputs of the new ones; how many pairs that brought."""
        before = len(self.pairs)
        tasks = self._new_tasks(number)
        batch = 0
        while tasks and self._n_missing:
            # Some outputs will be no use, so a few more than needed are asked for.
            n = max(MIN_OUTPUTS_AT_ONCE, 2 * self._n_missing)
            batch += 1
            self._answer(number, batch, tasks[:n])
            tasks = tasks[n:]
        for task in tasks:
            self._drop(number, SURPLUS, task)
        return len(self.pairs) - before

    def told(self) -> str:
        """The commonest reasons for which something was dropped."""
        commonest = self._n_dropped.most_common(4)
        return ", ".join(f"{reason} {n:,}" for reason, n in commonest) or "nothing"

    def _drop(self, number: int, reason: str, instruction: str = "", text: str = "") -> None:
        self.dropped.append((number, reason, instruction, text))
        self._n_dropped[reason] += 1

    @property
    def _n_missing(self) -> int:
        return self._settings.n_pairs - len(self.pairs)

    def _new_tasks(self, number: int) -> list[str]:
        n = self._n_prompts_wanted()
        made = [" ".join(instruction.split()) for _, instruction, _ in self.pairs]
        shown = [self._drawn_tasks(number, index, made) for index in range(n)]
        requests = [self._task_request(number, index, tasks) for index, tasks in enumerate(shown)]
        answers = self._ask(requests, number, "tasks", "prompts")
        self.n_prompts += n
        kept: list[str] = []
        for tasks, answer in zip(shown, answers, strict=True):
            for task in self._tasks_of(number, len(tasks), answer):
                problem = task_problem(task, self._settings)
                if not problem and self._pool.holds_like(task, self._settings.rouge_l_max):
                    problem = SIMILAR
                if problem:
                    self._drop(number, problem, task)
                else:
                    self._pool.add(task)
                    kept.append(task)
        return kept

    def _n_prompts_wanted(self) -> int:
        """As many as have brought the missing pairs so far; one a pair, to begin with."""
        most = self._settings.prompts_per_round
        if not self.n_prompts:
            return min(most, max(MIN_PROMPTS, self._n_missing))
        if not self.pairs:
            return most
        n = math.ceil(self._n_missing * self.n_prompts / len(self.pairs))
        return min(most, max(MIN_PROMPTS, n))

    def _drawn_tasks(self, number: int, index: int, made: Sequence[str]) -> list[str]:
        """Tasks of seeds and of earlier pairs, in an order of chance."""
        settings = self._settings
        chance = random.Random(request_seed(settings.seed, str(number), str(index)))
        tasks = chance.sample(made, min(settings.n_generated_demonstrations, len(made)))
        n = min(settings.n_demonstrations - len(tasks), len(self._seed_tasks))
        tasks += chance.sample(self._seed_tasks, n)
        chance.shuffle(tasks)
        return tasks

    def _task_request(self, number: int, index: int, tasks: Sequence[str]) -> GenerationRequest:
        return GenerationRequest(
            f"{number}.{index}",
            [{"role": "user", "content": self._prompts.task_list(tasks)}],
            cuttable=tuple(tasks),
            plain_text=True,
            stop=("\n\n", f"\n{self._settings.last_task_number + 1}."),
        )

    def _tasks_of(self, number: int, n_shown: int, answer: Generation) -> list[str]:
        if answer.finish_reason == "refused":
            self._drop(number, BAD_REQUEST, text=answer.error or "")
            return []
        parsed = parse_tasks(
            answer.text,
            n_shown + 1,
            self._settings.last_task_number,
            is_cut=answer.finish_reason == "length",
        )
        if parsed.unfinished:
            self._drop(number, CUT_TASK, text=parsed.unfinished)
        elif not parsed.tasks:
            self._drop(number, NO_TASK, text=answer.text)
        return parsed.tasks

    def _answer(self, number: int, batch: int, tasks: Sequence[str]) -> None:
        requests = [
            few_shot_request(_pair_id(task), task, self.demonstrations, self._prompts)
            for task in tasks
        ]
        answers = self._ask(requests, number, f"outputs-{batch:02d}", "outputs")
        for request, task, answer in zip(requests, tasks, answers, strict=True):
            output, finish_reason, _ = completed(answer, self._prompts)
            problem = output_problem(
                task, output, finish_reason, self._outputs, self._prompts.labels
            )
            if not problem and not self._n_missing:
                problem = SURPLUS
            if problem:
                self._drop(number, problem, task, output)
            else:
                self._outputs.add(normalised(output))
                self.pairs.append((request.request_id, task, output))

    def _ask(
        self, requests: Sequence[GenerationRequest], number: int, name: str, unit: str
    ) -> list[Generation]:
        settings = self._settings
        answers = generate_all(
            requests,
            self._generator,
            settings.sampling if unit == "prompts" else settings.output_sampling,
            ledger=Ledger(self._folder / f"round-{number:04d}.{name}.jsonl"),
            chunk_size=self._chunk_size,
            stage=f"self-instruct, round {number}: {name}",
            unit=unit,
            on_progress=self._on_progress,
            describe=lambda _, answer: one_line(answer.text),
        )
        self.n_prompts_cut += sum(answer.prompt_cut for answer in answers)
        return answers


def _shown_tasks(seeds: pl.DataFrame, max_words: int) -> list[str]:
    """The seeds' instructions on one line each, each once; longer ones would fill the window.

    Sorted, so that what is drawn does not hang on the order of the seeds.
    """
    lines = {" ".join(instruction.split()) for instruction in seeds["instruction"]}
    shown = sorted(line for line in lines if line and len(line.split()) <= max_words)
    if not shown:
        raise ValueError(
            f"self-instruct: none of the {seeds.height} seed instructions has {max_words} words or "
            "fewer; raise max_words or add seed pairs"
        )
    return shown


def _pair_id(instruction: str) -> str:
    return f"self-{hashlib.sha256(instruction.encode()).hexdigest()[:16]}"
