"""The words around a pair: system tags, and the backward, rating and judge prompts.

Training, inference and rating all take their messages from here, so that one example reads the same
in each of them (paper sections 2.2-2.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from humpback_pipeline.storage.manifest import hash_text

Message = dict[str, str]
PROMPTS_DIR = Path(__file__).parent / "prompts"
MAX_PROMPT_BYTES = 100_000

TAG_SEED = "Answer in the style of an AI Assistant."
TAG_WEB = "Answer with knowledge from web search."
RATING_PREFIX = "Score: "
JUDGE_PREFIX = "Better answer: "


class PromptError(ValueError):
    """A prompt file cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Prompts:
    """All prompts of a run. `tag_seed` is the paper's S_a, `tag_web` its S_w."""

    tag_seed: str | None
    tag_web: str | None
    backward: str
    rating: str
    judge: str

    def forward_messages(
        self, instruction: str, origin: Literal["seed", "web", "inference"]
    ) -> list[Message]:
        """Messages before an answer: tagged by origin in training, with both tags at inference."""
        tags = {
            "seed": [self.tag_seed],
            "web": [self.tag_web],
            "inference": [self.tag_seed, self.tag_web],
        }[origin]
        system = " ".join(tag for tag in tags if tag)
        user = {"role": "user", "content": instruction}
        return [{"role": "system", "content": system}, user] if system else [user]

    def backward_messages(self, output: str) -> list[Message]:
        """Messages that ask M_yx for the instruction of `output`."""
        return [{"role": "user", "content": _fill(self.backward, output=output)}]

    def rating_messages(self, instruction: str, output: str) -> list[Message]:
        """Messages that ask for a rating; the rubric comes first, so that its prefix is shared."""
        text = _fill(self.rating, instruction=instruction, output=output)
        return [{"role": "user", "content": text}]

    def judge_messages(self, instruction: str, first: str, second: str) -> list[Message]:
        """Messages that ask which of two answers is better."""
        text = _fill(self.judge, instruction=instruction, first=first, second=second)
        return [{"role": "user", "content": text}]

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each prompt, for provenance and for the ledger's keys."""
        tags = f"{self.tag_seed}\n{self.tag_web}"
        texts = {
            "tags": tags,
            "backward": self.backward,
            "rating": self.rating,
            "judge": self.judge,
        }
        return {name: hash_text(text) for name, text in texts.items()}


def load_prompts(
    tag_seed: str | None = TAG_SEED, tag_web: str | None = TAG_WEB, rubric: Path | None = None
) -> Prompts:
    """Read the prompts; `rubric` replaces the rating prompt.

    Raises PromptError when a file is missing, too large, or lacks a `{field}` it must have.
    """
    return Prompts(
        tag_seed=tag_seed,
        tag_web=tag_web,
        backward=_read(PROMPTS_DIR / "backward.txt", ("output",)),
        rating=_read(rubric or PROMPTS_DIR / "rating.txt", ("instruction", "output")),
        judge=_read(PROMPTS_DIR / "judge.txt", ("instruction", "first", "second")),
    )


def _read(path: Path, fields: tuple[str, ...]) -> str:
    if not path.is_file():
        raise PromptError(f"{path}: no such prompt file (recipe field chat.rubric)")
    if path.stat().st_size > MAX_PROMPT_BYTES:
        raise PromptError(f"{path}: over {MAX_PROMPT_BYTES} bytes is no prompt")
    text = path.read_text(encoding="utf-8").strip()
    missing = [f"{{{field}}}" for field in fields if f"{{{field}}}" not in text]
    if missing:
        raise PromptError(f"{path}: the prompt must hold {' and '.join(missing)}")
    return text


def _fill(template: str, **values: str) -> str:
    # One pass over the template, so that a value which holds "{output}" is left as it is.
    pieces = [template]
    for field, value in values.items():
        marker = f"{{{field}}}"
        pieces = [
            part
            for index, piece in enumerate(pieces)
            for part in (_split(piece, marker, value) if index % 2 == 0 else [piece])
        ]
    return "".join(pieces)


def _split(piece: str, marker: str, value: str) -> list[str]:
    before, found, after = piece.partition(marker)
    return [before, value, after] if found else [piece]
