"""OpenAssistant's exports: first turn, English, rank 0, not deleted, written by humans."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from humpback_pipeline.seeds import SeedDataError, read_seed_pairs

QUESTION, ANSWER = "How do I prune an apple tree?", "Cut out dead wood in late winter first."


def _message(identifier: str, text: str, role: str = "assistant", **more: Any) -> dict[str, Any]:
    usual = {
        "message_id": identifier,
        "parent_id": None,
        "user_id": "u",
        "created_date": "2023-02-06T14:23:30+00:00",
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "rank": None,
        "synthetic": False,
        "labels": {"quality": {"value": 0.9, "count": 3}},
    }
    return {**usual, **more}


def _tree(
    name: str = "t", prompt: dict[str, Any] | None = None, *replies: dict[str, Any]
) -> dict[str, Any]:
    root = {**_message(name, QUESTION, "prompter"), **(prompt or {})}
    answers = replies or (
        _message(f"{name}-b", "Do nothing.", parent_id=name, rank=1),
        _message(
            f"{name}-a",
            ANSWER,
            parent_id=name,
            rank=0,
            replies=[_message(f"{name}-c", "Thanks!", "prompter", parent_id=f"{name}-a")],
        ),
    )
    return {
        "message_tree_id": name,
        "tree_state": "ready_for_export",
        "prompt": {**root, "replies": list(answers)},
    }


def _flat(tree: dict[str, Any]) -> list[dict[str, Any]]:
    flat: list[dict[str, Any]] = []

    def visit(message: dict[str, Any]) -> None:
        flat.append({k: v for k, v in message.items() if k not in ("replies", "labels")})
        for reply in message.get("replies") or []:
            visit(reply)

    visit(tree["prompt"])
    return flat


def _reply(**more: Any) -> dict[str, Any]:
    return {**_message("r", ANSWER), "parent_id": "t", "rank": 0, **more}


@pytest.mark.parametrize(
    "name", ["2023_ready.trees.jsonl.gz", "2023_ready.trees.jsonl", "renamed.jsonl"]
)
def test_read_seed_pairs_trees_best_first_reply(write_lines, name):
    read = read_seed_pairs(write_lines([_tree()], name))
    assert [(p.instruction, p.output) for p in read.pairs] == [(QUESTION, ANSWER)]
    assert (read.format, read.pairs[0].source, read.dropped) == ("oasst_trees", "openassistant", {})


@pytest.mark.parametrize(
    "name", ["2023_ready.messages.jsonl.gz", "2023_ready.messages.jsonl", "renamed.jsonl"]
)
def test_read_seed_pairs_messages_whatever_their_order(write_lines, name):
    messages = [*_flat(_tree("t")), *_flat(_tree("u", {"text": "How do I graft a pear tree?"}))]
    read = read_seed_pairs(write_lines(messages[::-1], name))
    assert {(p.instruction, p.output) for p in read.pairs} == {
        (QUESTION, ANSWER),
        ("How do I graft a pear tree?", ANSWER),
    }
    assert (read.format, read.dropped) == ("oasst_messages", {})


def test_read_seed_pairs_messages_in_parquet(tmp_path):
    path = tmp_path / "train-00000-of-00001.parquet"
    pl.DataFrame(_flat(_tree())).write_parquet(path)
    read = read_seed_pairs(path)
    assert [(p.instruction, p.output) for p in read.pairs] == [(QUESTION, ANSWER)]
    assert read.format == "oasst_messages"


def test_read_seed_pairs_plain_pairs_in_a_file_named_like_messages(write_lines):
    record = {
        "messages": [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": ANSWER},
        ]
    }
    assert read_seed_pairs(write_lines([record], "my.messages.jsonl")).format == "jsonl"


@pytest.mark.parametrize(
    ("reason", "tree"),
    [
        ("language", _tree("x", {"lang": "de"})),
        ("deleted", _tree("x", {"deleted": True})),
        ("review_failed", _tree("x", {"review_result": False})),
        ("synthetic", _tree("x", {"synthetic": True})),
        ("language", _tree("x", None, _reply(parent_id="x", lang="es"))),
        ("deleted", _tree("x", None, _reply(parent_id="x", deleted=True))),
        ("synthetic", _tree("x", None, _reply(parent_id="x", synthetic=True))),
        ("unranked", _tree("x", None, _reply(parent_id="x", rank=None))),
        ("not_rank_0", _tree("x", None, _reply(parent_id="x", rank=1))),
        ("no_assistant_reply", _tree("x", None, _reply(parent_id="x", role="prompter"))),
    ],
)
@pytest.mark.parametrize("shape", ["trees", "messages"])
def test_read_seed_pairs_unwanted_tree_is_counted_once(write_lines, reason, tree, shape):
    trees = [tree, _tree()]
    records = trees if shape == "trees" else [m for t in trees for m in _flat(t)]
    read = read_seed_pairs(write_lines(records, f"o.{shape}.jsonl"))
    assert read.dropped == {reason: 1}
    assert len(read.pairs) == 1


def test_read_seed_pairs_second_best_does_not_replace_a_deleted_best(write_lines):
    replies = (
        _message("a", "The best, gone.", parent_id="x", rank=0, deleted=True),
        _message("b", "The second best.", parent_id="x", rank=1),
    )
    read = read_seed_pairs(write_lines([_tree("x", None, *replies), _tree()], "o.trees.jsonl"))
    assert [pair.output for pair in read.pairs] == [ANSWER]


def test_read_seed_pairs_other_languages_on_request(write_lines):
    german = _tree("x", {"lang": "de", "text": "Wie?"}, _reply(parent_id="x", lang="de"))
    path = write_lines([german, _tree()], "o.trees.jsonl")
    read = read_seed_pairs(path, languages=["de"])
    assert [pair.instruction for pair in read.pairs] == ["Wie?"]
    assert len(read_seed_pairs(path, languages=()).pairs) == 2


@pytest.mark.parametrize(
    ("field", "record"),
    [
        ("prompt", {"message_tree_id": "t", "prompt": None}),
        ("prompt", {"message_tree_id": "t", "prompt": 3}),
        ("replies", {"message_tree_id": "t", "prompt": {**_message("t", "Hi"), "replies": 1}}),
        ("text", _tree("t", {"text": None})),
        ("text", _tree("t", None, _reply(text=" "))),
    ],
)
def test_read_seed_pairs_broken_tree_stops_with_its_line(write_lines, field, record):
    path = write_lines([_tree(), record], "o.trees.jsonl")
    with pytest.raises(SeedDataError, match=f"line 2, field '{field}'"):
        read_seed_pairs(path)


@pytest.mark.parametrize(
    ("field", "change"),
    [("message_id", {"message_id": None}), ("role", {"role": 1}), ("text", {"text": ""})],
)
def test_read_seed_pairs_broken_message_stops_with_its_line(write_lines, field, change):
    messages = _flat(_tree())
    messages.insert(1, {**_message("z", QUESTION, "prompter"), **change})
    messages.append(_message("y", ANSWER, parent_id="z", rank=0))
    with pytest.raises(SeedDataError, match=f"line 2, field '{field}'"):
        read_seed_pairs(write_lines(messages, "o.messages.jsonl"))
