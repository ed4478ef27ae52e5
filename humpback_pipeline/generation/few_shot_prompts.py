"""Prompts in plain text, for a base model to continue: a list of tasks, and worked examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from humpback_pipeline.chat import PromptError
from humpback_pipeline.recipe_section import PACKAGE_DIR

TEMPLATES_DIR: Final = PACKAGE_DIR / "examples" / "templates"
MAX_PROMPT_BYTES: Final = 100_000
# An output cut shorter than this shows a model little but that outputs end midway.
MIN_OUTPUT_CHARS: Final = 300


@dataclass(frozen=True)
class Demonstration:
    """An instruction and the output that shows how to answer it."""

    instruction: str
    output: str


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations that fit, the same before every prompt.

    n_shortened: outputs that lost their ends. n_left_out: of those wanted, for lack of room or of
    pairs.
    """

    shown: tuple[Demonstration, ...]
    n_shortened: int = 0
    n_left_out: int = 0


@dataclass(frozen=True)
class PlainPrompts:
    """The texts around demonstrations: `label` before an instruction, `answer` before its output.

    header: before all examples. tasks: with {tasks}, where the numbered list goes.
    """

    header: str
    label: str
    answer: str
    tasks: str

    def few_shot(self, demonstrations: Sequence[Demonstration], instruction: str) -> str:
        """Examples, then `instruction`, up to where its output begins."""
        # No space at the end: with most tokenizers it belongs to the output's first word.
        asked = f"{self.label}{instruction}{self.answer}".rstrip(" ")
        return "\n\n".join([*self._opening, *map(self._example, demonstrations), asked])

    def task_list(self, tasks: Sequence[str]) -> str:
        """The numbered list of `tasks` up to the number of the one to come."""
        lines = [f"{number}. {task}" for number, task in enumerate(tasks, 1)]
        return self.tasks.replace("{tasks}", "\n".join([*lines, f"{len(tasks) + 1}."]))

    @property
    def marker(self) -> str:
        """What begins the next example: the model has then ended the output it was asked for."""
        return "\n" + self.label.strip()

    @property
    def labels(self) -> tuple[str, ...]:
        """The first words before an instruction and before an output, without marks."""
        lines = (text.strip("#*_-> \n").partition("\n")[0] for text in (self.label, self.answer))
        return tuple(line for line in lines if line)

    def cut_at_marker(self, text: str) -> tuple[str, bool]:
        """`text` up to the next example, and whether there was one."""
        kept, found, _ = f"\n{text.lstrip()}".partition(self.marker)
        return kept.strip(), bool(found)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each prompt, for provenance."""
        texts = {
            "few_shot": "\n".join((self.header, self.label, self.answer)),
            "self_instruct": self.tasks,
        }
        return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}

    @property
    def _opening(self) -> list[str]:
        return [self.header] if self.header else []

    def _example(self, one: Demonstration) -> str:
        return f"{self.label}{one.instruction}{self.answer}{one.output}"


def load_plain_prompts(
    few_shot: Path | None = None, self_instruct: Path | None = None
) -> PlainPrompts:
    """Read the two prompt files; None: those that come with the package.

    few_shot: ends with {output}; its example begins at the paragraph that holds {instruction}, and
    what stands before that is a header. self_instruct: ends with {tasks}. Raises PromptError.
    """
    path = few_shot or TEMPLATES_DIR / "few_shot.txt"
    before, _, rest = _read(path, ("instruction", "output")).partition("{instruction}")
    header, _, label = before.rpartition("\n\n")
    answer, found, after = rest.partition("{output}")
    if not label.strip() or not answer.strip() or not found or after:
        raise PromptError(
            f"{path}: it must end with one example, such as '### Instruction:', {{instruction}}, "
            "'### Response:' and {output} on a line each"
        )
    tasks_path = self_instruct or TEMPLATES_DIR / "self_instruct.txt"
    tasks = _read(tasks_path, ("tasks",))
    if not tasks.endswith("{tasks}"):
        raise PromptError(f"{tasks_path}: {{tasks}} must stand at the end")
    return PlainPrompts(header.strip(), label, answer, tasks)


def choose_demonstrations(
    pairs: pl.DataFrame,
    n: int,
    prompts: PlainPrompts,
    *,
    seed: int = 0,
    max_chars: int | None = None,
) -> Demonstrations:
    """`n` of `pairs` (columns instruction, output) that fit into `max_chars` in all.

    Those of the lowest hash of seed and instruction, so that the choice hangs neither on the order
    of the pairs nor on what is asked. Where they do not fit, outputs are cut at the end of a
    paragraph or sentence, all to the same bound; below 300 characters there is one example less.
    """
    usable = [
        Demonstration(instruction.strip(), output.strip())
        for instruction, output in pairs.select("instruction", "output").unique().iter_rows()
        if prompts.marker not in f"\n{instruction}\n{output}"
    ]
    wanted = sorted(usable, key=lambda one: _rank(seed, one))[:n]
    for n_shown in range(len(wanted), 0, -1):
        fitted = _shortened(wanted[:n_shown], prompts, max_chars)
        if fitted is not None:
            n_shortened = sum(a != b for a, b in zip(fitted, wanted, strict=False))
            return Demonstrations(tuple(fitted), n_shortened, n - n_shown)
    return Demonstrations((), 0, n)


def shorten(text: str, max_chars: int) -> str:
    """`text` up to the last end of a paragraph, else of a sentence, else of a word in the bound."""
    if len(text) <= max_chars:
        return text
    head = text[:max_chars]
    for ends, keeps in ((("\n\n",), 0), ((". ", "! ", "? ", ".\n", "!\n", "?\n"), 1), ((" ",), 0)):
        end = max(head.rfind(mark) + keeps if mark in head else -1 for mark in ends)
        if end >= max_chars // 2:
            return head[:end].rstrip()
    return head.rstrip()


def _shortened(
    wanted: Sequence[Demonstration], prompts: PlainPrompts, max_chars: int | None
) -> list[Demonstration] | None:
    def size(examples: Sequence[Demonstration]) -> int:
        return len(prompts.few_shot(examples, ""))

    if max_chars is None or size(wanted) <= max_chars:
        return list(wanted)
    low, high = MIN_OUTPUT_CHARS, max(len(one.output) for one in wanted)
    fits: list[Demonstration] | None = None
    while low <= high:
        bound = (low + high) // 2
        shorter = [Demonstration(one.instruction, shorten(one.output, bound)) for one in wanted]
        if size(shorter) <= max_chars:
            fits, low = shorter, bound + 1
        else:
            high = bound - 1
    return fits


def _rank(seed: int, one: Demonstration) -> str:
    text = json.dumps([seed, one.instruction, one.output], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path, fields: Sequence[str]) -> str:
    if not path.is_file():
        raise PromptError(f"{path}: no such prompt file")
    if path.stat().st_size > MAX_PROMPT_BYTES:
        raise PromptError(f"{path}: over {MAX_PROMPT_BYTES} bytes is no prompt")
    text = path.read_text(encoding="utf-8").strip()
    missing = [f"{{{field}}}" for field in fields if text.count(f"{{{field}}}") != 1]
    if missing:
        raise PromptError(f"{path}: the prompt must hold {' and '.join(missing)} once each")
    return text
