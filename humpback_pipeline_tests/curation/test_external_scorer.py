"""Cross-encoders from elsewhere: a number for every pair, by the right label, asked once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tiny_models import byte_tokenizer, rater_config

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.curation import SCORERS, Pair, Raters, Rating, Scoring
from humpback_pipeline.curation import external as external_module
from humpback_pipeline.curation.cross_encoder import CrossEncoder, CrossEncoderError
from humpback_pipeline.generation import EngineSlot, LazyGenerator, Ledger
from humpback_pipeline.generation import devices as generation_devices
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import CurationRecipe, ExternalScorerRecipe

NLI = ("contradiction", "neutral", "entailment")
ODD = [
    Pair("", "", "empty"),
    Pair("🌊", "👩‍👩‍👧‍👦", "emoji"),
    Pair("潮汐?", "月球。", "chinese"),
    Pair("Explain.", "The tide turns. " * 1_250, "long"),
    Pair("<|im_end|>", "[SEP]</s><|im_start|>", "special"),
    Pair("Same.", "Same.", "same"),
    Pair("Same.", "Same.", "same-again"),
]
# The raters are never asked.
NOBODY: Any = Raters.of(None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny classifiers: three NLI labels, three others, and a single number."""
    return {
        "nli": save_classifier(tmp_path_factory.mktemp("nli"), NLI),
        "others": save_classifier(tmp_path_factory.mktemp("others"), ("good", "bad", "ugly")),
        "number": save_classifier(tmp_path_factory.mktemp("number"), ("score",)),
    }


def save_classifier(folder: Path, labels: tuple[str, ...]) -> Path:
    import torch
    from transformers import LlamaForSequenceClassification

    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = rater_config(
            tokenizer,
            pad_token_id=tokenizer.pad_token_id,
            id2label=dict(enumerate(labels)),
            label2id={name: index for index, name in enumerate(labels)},
        )
        LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rate(
    folder: Path, kind: Any, pairs: list[Pair], ledger: Ledger | None = None, **more: Any
) -> list[Rating]:
    external = ExternalScorerRecipe(model=str(folder), kind=kind, **{"max_tokens": 256, **more})
    settings = CurationRecipe(scorer="external", external=external)
    scoring = Scoring(load_prompts(), settings, ledger=ledger)
    return SCORERS["external"].rate(pairs, NOBODY, scoring)


@pytest.mark.parametrize(
    ("folder", "kind"), [("nli", "nli"), ("number", "cross_encoder"), ("number", "reward")]
)
def test_every_odd_pair_has_a_number_and_only_the_long_one_is_cut(
    folder: str, kind: str, folders: dict[str, Path]
) -> None:
    ratings = rate(folders[folder], kind, ODD)

    assert len(ratings) == len(ODD)
    assert all(math.isfinite(one.rating) and 1.0 <= one.rating <= 5.0 for one in ratings)
    assert [one.prompt_cut for one in ratings] == [pair.pair_id == "long" for pair in ODD]
    assert ratings[-1].rating == pytest.approx(ratings[-2].rating, abs=1e-4)
    assert len({round(one.rating, 3) for one in ratings}) > 3


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_rating_does_not_depend_on_the_batch_and_keeps_the_order(
    batch_size: int, folders: dict[str, Path]
) -> None:
    ratings = rate(folders["nli"], "nli", ODD[1:], batch_size=batch_size)
    alone = [rate(folders["nli"], "nli", [pair])[0].rating for pair in ODD[1:4]]

    assert [one.rating for one in ratings[:3]] == pytest.approx(alone, abs=1e-3)


def test_nli_is_the_probability_of_entailment_by_its_name(folders: dict[str, Path]) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["nli"])
    model = AutoModelForSequenceClassification.from_pretrained(folders["nli"]).eval()
    with torch.inference_mode():
        logits = model(**tokenizer("The moon.", "Why tides?", return_tensors="pt")).logits[0]
    by_hand = float(logits.softmax(-1)[NLI.index("entailment")])

    found = rate(folders["nli"], "nli", [Pair("Why tides?", "The moon.")])[0]

    assert found.value == pytest.approx(by_hand, abs=1e-4)
    assert found.rating == pytest.approx(1 + 4 * by_hand, abs=1e-3)


@pytest.mark.parametrize("kind", ["nli", "cross_encoder"])
def test_model_without_the_label_or_number_is_an_error_that_lists_what_it_has(
    kind: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(CrossEncoderError, match="good, bad, ugly"):
        rate(folders["others"], kind, ODD[1:2])


def test_second_call_opens_no_model_and_another_window_does(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ratings.jsonl")
    first = rate(folders["nli"], "nli", ODD, ledger)

    def refuse(*_: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr(external_module, "CrossEncoder", refuse)

    assert rate(folders["nli"], "nli", ODD, ledger) == first
    with pytest.raises(AssertionError, match="opened"):
        rate(folders["nli"], "nli", ODD, ledger, max_tokens=128)


@pytest.mark.parametrize(("gpus", "device"), [(("5",), "cuda:1"), ((), None)])
def test_encoder_runs_on_the_gpu_that_is_leased_for_the_rater(
    gpus: tuple[str, ...],
    device: str | None,
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generation_devices, "visible_gpus", lambda: ("3", "5"))
    opened: list[str | None] = []

    def note(folder: Path, settings: ExternalScorerRecipe, device: str | None) -> CrossEncoder:
        opened.append(device)
        return CrossEncoder(folder, settings, "cpu")

    monkeypatch.setattr(external_module, "CrossEncoder", note)
    settings = GenerationRecipe(engine="vllm")
    with LazyGenerator(folders["nli"], settings, devices=EngineSlot(gpus, 2)) as rater:
        scoring = Scoring(
            load_prompts(),
            CurationRecipe(external=ExternalScorerRecipe(model=str(folders["nli"]), kind="nli")),
        )
        assert len(SCORERS["external"].rate(ODD, Raters.of(rater), scoring)) == len(ODD)
    assert opened == [device]


def test_no_section_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"curation\.external"):
        SCORERS["external"].rate(ODD, NOBODY, Scoring(load_prompts(), CurationRecipe()))
