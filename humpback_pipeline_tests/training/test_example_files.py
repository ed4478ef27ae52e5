"""Examples in files: the same as in lists, whole or not there, and handed over without a copy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_mixture import MixtureRecipe
from humpback_pipeline.training import TrainingExample, example_files, mix, train_model
from humpback_pipeline.training.counts import count_examples, longest_first, n_distinct
from humpback_pipeline.training.example_files import StoredExamples, write_examples
from humpback_pipeline.training.examples import hash_examples
from humpback_pipeline.training.uses import ExampleUses, hand_over, taken_over

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i % 5)), (*range(60, 68 + i % 7), 2), i % 3 == 0)
    for i in range(40)
]


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredExamples:
    """In more than one batch."""
    monkeypatch.setattr(example_files, "BATCH_TOKENS", 100)
    return write_examples(iter(EXAMPLES), tmp_path / "examples.arrow")


def test_examples_come_back_as_they_were_by_number_by_slice_and_in_turn(stored) -> None:
    assert len(stored) == 40
    assert list(stored) == EXAMPLES
    assert [stored[number] for number in range(-40, 40)] == EXAMPLES * 2
    assert stored[np.int64(7)] == EXAMPLES[7]
    assert stored[3:30:4] == EXAMPLES[3:30:4]
    for number in (40, -41):
        with pytest.raises(IndexError):
            stored[number]


def test_counts_and_order_are_those_of_the_same_examples_in_a_list(stored) -> None:
    repeated = ExampleUses((stored, EXAMPLES[:5]), np.array([0, 39, 44, 0, 12]))
    assert repeated == [EXAMPLES[n] for n in (0, 39, 4, 0, 12)]
    assert repeated[1:3] == [EXAMPLES[39], EXAMPLES[4]]
    for examples in (stored, EXAMPLES, repeated):
        counts, plain = count_examples(examples), list(examples)
        assert counts.n_tokens.tolist() == [example.n_tokens for example in plain]
        assert counts.n_completion_tokens.tolist() == [len(e.completion_ids) for e in plain]
        assert counts.truncated.tolist() == [example.truncated for example in plain]
        assert n_distinct(examples) == len({example.example_id for example in plain})
        assert hash_examples(examples) == hash_examples(plain)
        ordered = sorted(plain, key=lambda e: (-e.n_tokens, e.example_id))
        assert [examples[number] for number in longest_first(examples)] == ordered


@pytest.mark.parametrize("examples", [[], EXAMPLES[:1]])
def test_few_or_no_examples_are_a_file_as_well(examples, tmp_path: Path) -> None:
    stored = write_examples(examples, tmp_path / "examples.arrow")
    assert list(stored) == examples
    assert count_examples(stored).n_tokens.tolist() == [e.n_tokens for e in examples]
    assert n_distinct(stored) == len(examples)


def test_file_that_was_not_finished_never_appears(tmp_path: Path) -> None:
    def ended() -> Iterator[TrainingExample]:
        yield EXAMPLES[0]
        raise OSError("disk full")

    path = tmp_path / "examples.arrow"
    with pytest.raises(OSError, match="disk full"):
        write_examples(ended(), path)
    assert list(tmp_path.iterdir()) == []
    write_examples(EXAMPLES[:2], path)
    with pytest.raises(OSError, match="disk full"):
        write_examples(ended(), path)
    assert list(StoredExamples(path)) == EXAMPLES[:2]


def test_another_process_gets_the_uses_and_reads_the_very_files(stored, tmp_path: Path) -> None:
    mixture = mix(stored, EXAMPLES[:6], MixtureRecipe(seed_share=0.6), seed=3)
    folder = tmp_path / "work"
    folder.mkdir()
    hand_over(mixture.examples, folder, "examples")
    hand_over(stored, folder, "held_out")
    assert {path.name for path in folder.iterdir()} == {
        "examples.json",
        "examples.npy",
        "examples-1.arrow",  # of those that lay in no file
        "held_out.json",
    }
    taken = taken_over(folder, "examples")
    assert isinstance(taken, ExampleUses)
    assert taken.parts[0].path == stored.path
    assert taken == mixture.examples
    assert list(taken_over(folder, "held_out")) == EXAMPLES


def test_training_on_files_equals_training_on_lists(
    tiny_base: Path, settings: TrainingRecipe, stored: StoredExamples, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"samples": 2})
    held_out = write_examples(EXAMPLES[:9], tmp_path / "held_out.arrow")
    ways = {"list": (EXAMPLES, EXAMPLES[:9]), "file": (stored, held_out)}
    results = {
        name: train_model(tiny_base, *examples, settings, tmp_path / name)
        for name, examples in ways.items()
    }
    one, other = results["list"], results["file"]
    assert one.train_curve == other.train_curve
    assert one.held_out_curve == other.held_out_curve
    assert one.samples == other.samples != []
    for field in ("n_examples", "n_truncated", "n_tokens", "n_completion_tokens", "model_flops"):
        assert getattr(one, field) == getattr(other, field)
    weights = [next((tmp_path / name).glob("*.safetensors")).read_bytes() for name in ways]
    assert weights[0] == weights[1]
