"""OpenAssistant's own exports: conversation trees, and the flat list of messages.

The seeds of the paper (section 3.1, arXiv 2308.06259) are the first turn of each tree, in English,
with the assistant reply that humans ranked best (rank 0). Field names as in the exports'
`oasst_data` schema. A tree costs one outcome: a pair, or one reason for dropping it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from humpback_pipeline.seeds.fields import Candidate, Dropped, checked_object, text_of
from humpback_pipeline.seeds.language import primary_language
from humpback_pipeline.seeds.parsing import RawRecord
from humpback_pipeline.seeds.records import RecordFault, describe_keys, describe_value, is_object

MESSAGE_FIELDS = (
    "message_id",
    "parent_id",
    "text",
    "role",
    "lang",
    "rank",
    "deleted",
    "review_result",
    "synthetic",
)
TREE_FIELDS = ("message_tree_id", "prompt")
SOURCE = "openassistant"


def is_tree(record: Any) -> bool:
    """Tell whether a record looks like a conversation tree."""
    return is_object(record) and is_object(record.get("prompt")) and "text" in record["prompt"]


def is_message(record: Any) -> bool:
    """Tell whether a record looks like a flat message."""
    return is_object(record) and {"message_id", "text", "role"} <= record.keys()


def pair_of_tree(record: RawRecord, languages: Collection[str]) -> Candidate | Dropped:
    """Return the first turn of one conversation tree, or why it is not wanted.

    Raises RecordFault: wrong_type, missing_field, empty_instruction, empty_output.
    """
    tree = checked_object(record.value)
    prompt = tree.get("prompt")
    if not is_object(prompt):
        raise RecordFault(
            "missing_field" if prompt is None else "wrong_type",
            "prompt",
            describe_value(prompt) if "prompt" in tree else f"only {describe_keys(list(tree))}",
            "give one tree with its root message under 'prompt' on each line",
        )
    replies = prompt.get("replies") or []
    if not isinstance(replies, list) or not all(is_object(reply) for reply in replies):
        raise RecordFault(
            "wrong_type", "replies", describe_value(replies), "make it a list of messages"
        )
    return _first_turn(record.line, prompt, replies, languages)


def pairs_of_messages(
    records: Iterable[RawRecord | RecordFault], languages: Collection[str]
) -> Iterator[Candidate | Dropped | RecordFault]:
    """Yield the first turn of every tree in a flat list of messages, or why it is not wanted.

    A reply may stand before its prompt, so prompts and assistant messages are held until the end;
    replies to other messages than a root are later turns and are passed over. Broken records come
    through, or out, as RecordFault.
    """
    roots: dict[str, RawRecord] = {}
    replies: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if isinstance(record, RecordFault):
            yield record
            continue
        try:
            message = checked_object(record.value)
            message_id = text_of(message, ("message_id",), "message_id")
            role = text_of(message, ("role",), "role")
            parent = message.get("parent_id")
            if parent is None:
                roots[message_id] = record
            elif role == "assistant":
                replies.setdefault(text_of(message, ("parent_id",), "parent_id"), []).append(
                    {**message, "line": record.line}
                )
        except RecordFault as fault:
            fault.line = record.line
            yield fault
    for root_id, root in roots.items():
        try:
            yield _first_turn(root.line, root.value, replies.get(root_id, []), languages)
        except RecordFault as fault:
            fault.line = fault.line or root.line
            yield fault


def _first_turn(
    line: int, prompt: dict[str, Any], replies: list[dict[str, Any]], languages: Collection[str]
) -> Candidate | Dropped:
    if reason := _unwanted(prompt, languages):
        return Dropped(reason)
    answers = [reply for reply in replies if reply.get("role") == "assistant"]
    if not answers:
        return Dropped("no_assistant_reply")
    best = next((reply for reply in answers if _is_rank_zero(reply.get("rank"))), None)
    if best is None:
        ranked = any(reply.get("rank") is not None for reply in answers)
        return Dropped("not_rank_0" if ranked else "unranked")
    if reason := _unwanted(best, languages):
        return Dropped(reason)
    instruction = text_of(prompt, ("text",), "instruction")
    try:
        output = text_of(best, ("text",), "output")
    except RecordFault as fault:
        fault.line = best.get("line", line)
        raise
    declared = (message.get("lang") for message in (prompt, best))
    codes = tuple(code for code in declared if isinstance(code, str))
    return Candidate(line, instruction, output, SOURCE, codes)


def _unwanted(message: dict[str, Any], languages: Collection[str]) -> str | None:
    if message.get("deleted") is True:
        return "deleted"
    if message.get("review_result") is False:
        return "review_failed"
    if message.get("synthetic") is True:
        return "synthetic"
    language = message.get("lang")
    if isinstance(language, str) and languages and primary_language(language) not in languages:
        return "language"
    return None


def _is_rank_zero(rank: Any) -> bool:
    return isinstance(rank, int | float) and not isinstance(rank, bool) and rank == 0
