"""The harder labelled pairs: each flaw as its rule says, and the bundled set."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from humpback_pipeline.evaluation.hard_pairs import FLAWS, HumanPair, make_hard_pairs
from humpback_pipeline.recipe_section import PACKAGE_DIR

SUBJECTS = ["kettle", "bicycle", "tomato", "glacier", "violin", "passport", "lighthouse", "compost"]
BUNDLED = PACKAGE_DIR / "examples" / "hard_pairs.jsonl"


def human_pair(subject: str, what: str = "care for") -> HumanPair:
    middle = f"The middle of the text on the {subject} is long enough to stand alone, word by word."
    items = "\n".join(f"{n}. {subject} item {n}" for n in range(1, 5))
    return HumanPair(
        f"How do I {what} a {subject}?",
        f"First of all the {subject} to {what}.\n\n{middle}\n\n{items}",
    )


PAIRS = [human_pair(subject) for subject in SUBJECTS]
# Two of each subject, so that there is a related instruction.
MANY = [*PAIRS, *(human_pair(subject, "photograph") for subject in SUBJECTS)]


def flawed(kind: str) -> list[tuple[HumanPair, str, str]]:
    """(the human pair, instruction, output) of all pairs with that flaw, over several seeds."""
    found = []
    for seed in range(3):
        for original, made in zip(MANY, make_hard_pairs(MANY, seed=seed), strict=True):
            if made.kind == kind:
                found.append((original, made.instruction, made.output))
    assert found
    return found


def test_a_fifth_is_good_and_unchanged_and_every_flaw_occurs():
    made = make_hard_pairs(MANY)
    kinds = Counter(pair.kind for pair in made)
    assert kinds["good"] == 3
    assert set(kinds) == {"good", *FLAWS}
    assert max(kinds.values()) <= 4
    for original, pair in zip(MANY, made, strict=True):
        assert pair.label == (pair.kind == "good")
        is_unchanged = (pair.instruction, pair.output) == (original.instruction, original.output)
        assert is_unchanged == (pair.kind == "good")
    assert all(pair.made_by for pair in made)


def test_same_pairs_and_seed_give_the_same_set_and_another_seed_another():
    assert make_hard_pairs(MANY, seed=4) == make_hard_pairs(MANY, seed=4)
    assert make_hard_pairs(MANY, seed=4) != make_hard_pairs(MANY, seed=5)


def test_related_instruction_is_that_of_the_most_similar_pair():
    for original, instruction, output in flawed("related_instruction"):
        subject = original.output.split()[4]
        assert instruction.endswith(f"{subject}?")
        assert instruction != original.instruction
        assert output == original.output


def test_foreign_paragraph_stands_whole_between_two_of_the_text():
    for original, instruction, output in flawed("foreign_paragraph"):
        blocks, own = output.split("\n\n"), original.output.split("\n\n")
        foreign = [block for block in blocks if block not in own]
        assert [block for block in blocks if block in own] == own
        assert len(foreign) == 1
        assert foreign[0] in {other.output.split("\n\n")[1] for other in MANY}
        assert blocks[0] == own[0]
        assert blocks[-1] == own[-1]
        assert instruction == original.instruction


def test_foreign_paragraph_never_divides_code():
    code = HumanPair(
        "Show me a loop.", "Here:\n\n```python\nfor x in y:\n\n    print(x)\n```\n\nDone."
    )
    for seed in range(12):
        made = make_hard_pairs([code, *PAIRS], seed=seed)[0]
        assert "for x in y:\n\n    print(x)\n```" in made.output


def test_stale_list_keeps_its_numbers_and_every_other_item():
    for original, _, output in flawed("stale_list"):
        before, after = original.output.split("\n"), output.split("\n")
        changed = [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert len(changed) == 2
        for n in changed:
            assert before[n].split(" ")[0] == after[n].split(" ")[0]
            assert before[n].split(" ")[1] != after[n].split(" ")[1]


def test_forum_voice_frames_the_whole_text():
    for original, _, output in flawed("forum_voice"):
        opening, _, closing = output.partition(f"\n\n{original.output}\n\n")
        assert len(opening) > 40
        assert len(closing) > 40


def test_a_flaw_that_does_not_fit_is_not_made():
    plain = [HumanPair(f"Name a {subject}.", f"One {subject}, no more.") for subject in SUBJECTS]
    kinds = {pair.kind for pair in make_hard_pairs(plain)}
    assert kinds == {"good", "related_instruction", "forum_voice"}


@pytest.mark.parametrize(("pairs", "share"), [(PAIRS[:1], 0.2), (PAIRS, 0.0), (PAIRS, 1.0)])
def test_impossible_requests_are_refused(pairs, share):
    with pytest.raises(ValueError, match="at least two"):
        make_hard_pairs(pairs, share_good=share)


def test_a_repeated_pair_is_taken_once():
    made = make_hard_pairs([*PAIRS, *PAIRS])
    assert len({pair.pair_id for pair in made}) == len(made) == len(PAIRS)


def bundled() -> list[dict[str, str]]:
    return [json.loads(line) for line in BUNDLED.read_text(encoding="utf-8").splitlines()]


def test_bundled_hard_pairs_are_a_fifth_good_and_say_how_they_were_made():
    rows = bundled()
    assert len(rows) == 60
    assert len({row["pair_id"] for row in rows}) == 60
    assert sum(int(row["label"]) for row in rows) == 12
    kinds = Counter(row["kind"] for row in rows)
    assert set(kinds) == {"good", "too_broad", "too_narrow", *FLAWS}
    assert min(kinds.values()) >= 6
    assert all(row["made_by"] for row in rows)
    assert len({(row["instruction"], row["output"]) for row in rows}) == 60


def test_bundled_hard_pairs_share_no_text_with_seeds_or_labelled_pairs():
    for name in ("seed_pairs.jsonl", "labelled_pairs.jsonl"):
        lines = (PACKAGE_DIR / "examples" / name).read_text(encoding="utf-8").splitlines()
        others = [json.loads(line) for line in lines]
        assert not {row["instruction"] for row in bundled()} & {o["instruction"] for o in others}
        paragraphs = {p for o in others for p in o["output"].split("\n\n") if len(p) > 60}
        for row in bundled():
            assert not paragraphs & set(row["output"].split("\n\n"))
