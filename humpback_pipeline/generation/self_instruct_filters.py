"""The tasks in what a base model wrote as it went on with a list of them, and which are no use.

The rules for instructions are those of Self-Instruct's published code; reasons are named.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Final, NamedTuple

from humpback_pipeline.generation.augment import clean_instruction
from humpback_pipeline.recipe_self_instruct import SelfInstructSettings

BAD_REQUEST: Final = "bad_request"
NO_TASK: Final = "no_task"
CUT_TASK: Final = "cut_task"
TOO_SHORT: Final = "too_short"
TOO_LONG: Final = "too_long"
UNSUITABLE_WORD: Final = "unsuitable_word"
WRITE_A_PROGRAM: Final = "write_a_program"
MARK_FIRST: Final = "starts_with_punctuation"
NOT_ENGLISH: Final = "not_english_letters"
SIMILAR: Final = "similar_to_pool"
EMPTY_OUTPUT: Final = "empty_output"
CUT_OUTPUT: Final = "cut_output"
LEAKAGE: Final = "prompt_leakage"
ECHO: Final = "output_is_instruction"
REPEATED_OUTPUT: Final = "repeated_output"
LOOPING_OUTPUT: Final = "looping_output"
SURPLUS: Final = "surplus"

# What a model that reads and writes text cannot do.
_UNSUITABLE: Final = re.compile(
    r"\b(?:images?|graphs?|pictures?|files?|maps?|draw|plot|go to)\b", re.IGNORECASE
)
_NUMBERED: Final = re.compile(r"[ \t]*(\d{1,3})[ \t]?[.)](?:[ \t]+|$)")
_BLANK_LINE: Final = re.compile(r"\n[ \t]*\n")
# A text of so many words, most of whose runs of eight stand in it more than once, goes in circles.
_MIN_LOOP_WORDS: Final = 40
_LOOP_RUN_WORDS: Final = 8
_LOOP_SHARE: Final = 0.5


class ParsedTasks(NamedTuple):
    """Tasks in their order, on one line each; `unfinished`: the beginning of one more, or ""."""

    tasks: list[str]
    unfinished: str


def parse_tasks(text: str, first: int, last: int, *, is_cut: bool) -> ParsedTasks:
    """The tasks of a list that the prompt has opened with `first`'s number.

    Each begins on a line with a higher number than the one before; other lines go on with a task,
    such as a numbered list of its own. The list ends at a blank line or above `last`. is_cut: the
    text was cut off at its end, and if the list goes on up to there, its last task with it.
    """
    body, *beyond = _BLANK_LINE.split(text.strip(), maxsplit=1)
    ended = bool(beyond)
    number, tasks, lines = first, list[str](), list[str]()
    for line in body.splitlines():
        label = _NUMBERED.match(line)
        found = int(label[1]) if label else 0
        if label and not tasks and not lines and found == first:  # the prompt's number once more
            lines.append(line[label.end() :])
        elif label and found > number:
            tasks.append(_one_line(lines))
            number, lines = found, [line[label.end() :]]
            if number > last:
                ended = True
                break
        else:
            lines.append(line)
    if number <= last:
        tasks.append(_one_line(lines))
    unfinished = tasks.pop() if is_cut and not ended and tasks else ""
    return ParsedTasks([task for task in tasks if task], unfinished)


def task_problem(task: str, settings: SelfInstructSettings) -> str:
    """Why a task is no use by itself, "" if it may be."""
    n_words = len(task.split())
    if n_words < settings.min_words:
        return TOO_SHORT
    if n_words > settings.max_words:
        return TOO_LONG
    if _UNSUITABLE.search(task):
        return UNSUITABLE_WORD
    if task.startswith("Write a program"):  # whether to run it or to show it, nobody can tell
        return WRITE_A_PROGRAM
    if task[0] in string.punctuation:
        return MARK_FIRST
    letters = [character for character in task if character.isalpha()]
    n_ascii = sum(letter.isascii() for letter in letters)
    if not task[0].isascii() or 2 * n_ascii < len(letters):
        return NOT_ENGLISH
    return ""


def output_problem(
    instruction: str, output: str, finish_reason: str, known: set[str], labels: tuple[str, ...]
) -> str:
    """Why an output is no use, "" if it may be.

    known: outputs that there are already, normalised. labels: what the prompt has before its parts,
    as words; with a line that begins so, whatever the marks before it, the model goes on with the
    prompt's form.
    """
    if finish_reason == "refused":
        return BAD_REQUEST
    if not any(character.isalnum() for character in output):
        return EMPTY_OUTPUT
    if finish_reason == "length":
        return CUT_OUTPUT
    if any(line.lstrip("#*_-> ").startswith(labels) for line in output.splitlines()):
        return LEAKAGE
    if normalised(output) == normalised(instruction):
        return ECHO
    if normalised(output) in known:
        return REPEATED_OUTPUT
    return LOOPING_OUTPUT if _loops(output.split()) else ""


def normalised(text: str) -> str:
    """`text` in lower case, letters and digits with single spaces."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _one_line(lines: Sequence[str]) -> str:
    task = clean_instruction(" ".join(" ".join(lines).split()))
    return task[:1].upper() + task[1:]


def _loops(words: Sequence[str]) -> bool:
    n = len(words) - _LOOP_RUN_WORDS + 1
    if len(words) < _MIN_LOOP_WORDS:
        return False
    runs = {tuple(words[start : start + _LOOP_RUN_WORDS]) for start in range(n)}
    return len(runs) < _LOOP_SHARE * n
