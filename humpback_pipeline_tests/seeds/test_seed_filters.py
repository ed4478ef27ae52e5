"""Duplicates, lengths, languages, and the train/dev split."""

from __future__ import annotations

import pytest

from humpback_pipeline.seeds import read_seed_pairs

GOOD = {"instruction": "What is a fjord?", "output": "A long inlet that a glacier carved."}
FRENCH = {
    "instruction": "Comment faire des crêpes ?",
    "output": "Mélangez la farine, les oeufs et le lait, puis laissez reposer la pâte une heure "
    "avant de cuire chaque crêpe dans une poêle bien chaude avec un peu de beurre.",
}
GERMAN = {
    "instruction": "Wie pflanze ich Tomaten richtig ein?",
    "output": "Setzen Sie die Pflanzen Mitte Mai nach den Eisheiligen ins Beet, und zwar mit "
    "einem Abstand von sechzig Zentimetern, damit die Luft zirkulieren kann.",
}
JAPANESE = {"instruction": "日本の首都はどこですか？", "output": "東京です。"}
ENGLISH = [
    ("2+2?", "4"),
    ("Sort a list in Python", "sorted(xs)"),
    ("Name three colours", "Red, green, blue"),
    ("Converting 85 F to Celsius.", "85 degrees Fahrenheit is equal to 29.44 degrees Celsius."),
    ("fizzbuzz", "fn main() { for i in 1..=100 { match (i % 3, i % 5) { _ => print(i) } } }"),
    ("SELECT all users", "SELECT * FROM users WHERE id IN (SELECT user_id FROM logins);"),
    ("In what genres does the film fall?\n\nManifest", "Mystery, Sci-Fi, Drama"),
    ("List movies directed by Federico Fellini.", "La strada, Amarcord, La dolce vita, Roma"),
    (
        "Translate this to French: The cat sits on the mat.",
        "Le chat est assis sur le tapis, et le chien dort devant la porte de la maison bleue.",
    ),
    ("Translate: 日本の首都はどこですか", "Where is the capital of Japan?"),
    ("Design a chess puzzle in FEN Notation.", "rnbqkbnr/pp1ppppp/8/2p5/4P3/5N2/PPPP1PPP b KQkq"),
]


@pytest.mark.parametrize("pair", [FRENCH, GERMAN, JAPANESE])
def test_language_other_is_dropped_when_detected(write_lines, pair):
    read = read_seed_pairs(write_lines([pair, GOOD]))
    assert [p.instruction for p in read.pairs] == [GOOD["instruction"]]
    assert read.dropped == {"language": 1}


@pytest.mark.parametrize(("instruction", "output"), ENGLISH)
def test_language_short_english_and_code_are_kept(write_lines, instruction, output):
    read = read_seed_pairs(write_lines([{"instruction": instruction, "output": output}]))
    assert len(read.pairs) == 1


@pytest.mark.parametrize(
    ("declared", "n_pairs"),
    [
        ({"lang": "en-GB"}, 2),
        ({"language": "English"}, 2),
        ({"lang": "de"}, 1),
        ({"language": "de_AT"}, 1),
        ({"language": "python"}, 2),
        ({"lang": None}, 2),
    ],
)
def test_language_declared_by_the_record_decides(write_lines, declared, n_pairs):
    other = {"instruction": "What is a moraine?", "output": "Rubble that a glacier left."}
    assert len(read_seed_pairs(write_lines([{**other, **declared}, GOOD])).pairs) == n_pairs


def test_language_none_wanted_keeps_everything(write_lines):
    assert len(read_seed_pairs(write_lines([FRENCH, JAPANESE, GOOD]), languages=()).pairs) == 3


def test_language_other_wanted(write_lines):
    path = write_lines([FRENCH, GERMAN])
    read = read_seed_pairs(path, languages=["fr"])
    assert [pair.instruction for pair in read.pairs] == [FRENCH["instruction"]]


def test_duplicate_differing_in_white_space_or_composition_is_dropped(write_lines):
    cafe = {"instruction": "Where is the caf\u00e9?", "output": "It is\n\nround the corner."}
    again = {"prompt": " Where is the  cafe\u0301? ", "answer": "It is round the corner."}
    case = {**cafe, "output": "It is round the Corner."}
    read = read_seed_pairs(write_lines([cafe, again, case]))
    assert [pair.output for pair in read.pairs] == [cafe["output"], case["output"]]
    assert read.dropped == {"duplicate": 1}


def test_lengths_outside_the_limits_are_counted(write_lines, numbered):
    short = {"instruction": "Is the Earth round?", "output": "Yes."}
    long = {"instruction": "Write the word very often.", "output": "word " * 100}
    path = write_lines([short, long, GOOD])
    read = read_seed_pairs(path, min_output_chars=5, max_chars=300)
    assert read.dropped == {"output_too_short": 1, "too_long": 1}
    exact = len(GOOD["instruction"]) + len(GOOD["output"])
    assert len(read_seed_pairs(path, min_output_chars=4, max_chars=exact).pairs) == 2


def _splits(read):
    return {pair.pair_id: pair.split for pair in read.pairs}


def test_split_is_the_same_again_and_about_the_asked_fraction(write_lines, numbered):
    path = write_lines(numbered(2000))
    splits = _splits(read_seed_pairs(path, dev_fraction=0.2))
    assert splits == _splits(read_seed_pairs(path, dev_fraction=0.2))
    # Binomial(2000, 0.2): five standard deviations are 89.
    assert 311 <= list(splits.values()).count("dev") <= 489
    assert splits != _splits(read_seed_pairs(path, dev_fraction=0.2, seed=1))


def test_split_keeps_sides_when_pairs_are_added_or_reordered(write_lines, numbered):
    few = _splits(read_seed_pairs(write_lines(numbered(300))))
    many = _splits(read_seed_pairs(write_lines(numbered(600)[::-1])))
    assert few.items() <= many.items()


@pytest.mark.parametrize("seed", range(20))
def test_split_has_a_dev_pair_from_ten_on(write_lines, numbered, seed):
    splits = list(_splits(read_seed_pairs(write_lines(numbered(10)), seed=seed)).values())
    assert 1 <= splits.count("dev") <= 9


@pytest.mark.parametrize("seed", range(20))
def test_split_always_has_a_train_pair(write_lines, numbered, seed):
    read = read_seed_pairs(write_lines(numbered(2)), dev_fraction=0.99, seed=seed)
    assert "train" in _splits(read).values()


def test_split_none_wanted(write_lines, numbered):
    read = read_seed_pairs(write_lines(numbered(50)), dev_fraction=0)
    assert set(_splits(read).values()) == {"train"}


def test_split_same_instruction_never_on_both_sides(write_lines, numbered):
    records = [{**r, "output": f"{r['output']} Take {n}."} for r in numbered(100) for n in range(3)]
    read = read_seed_pairs(write_lines(records), dev_fraction=0.5)
    sides = {
        split: {p.instruction for p in read.pairs if p.split == split} for split in ("train", "dev")
    }
    assert sides["train"]
    assert sides["dev"]
    assert not sides["train"] & sides["dev"]
