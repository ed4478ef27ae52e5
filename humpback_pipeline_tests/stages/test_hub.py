"""Pushing: the right files to the right repository, and the token nowhere but in the header."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from curated_home import CuratedHome
from fake_hub import FakeHub, fake_hub
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError

from humpback_pipeline.__main__ import main
from humpback_pipeline.stages.exports import exports_path, write_exports
from humpback_pipeline.stages.hub import HubError, push
from humpback_pipeline.stages.model_cards import model_cards_path, write_model_cards

TOKEN = "hf_canary_0123456789abcdef"
HUB = "{repository: someone/reefs, token_variable: REEF_TOKEN, what: [curated_set, model]}"
CARD = """---
base_model: some/base
library_name: peft
license: apache-2.0
pipeline_tag: text-generation
tags: [humpback]
---
# A model finetuned by humpback_pipeline

It was trained.
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> CuratedHome:
    fields = {
        "curation__selection": "{min_rating: 3.0, near_duplicate_threshold: null}",
        "curation__iterations": "1",
        "exports__hub": HUB,
    }
    home = CuratedHome(tmp_path, fields)
    home.rate(1, [5.0, 4.8, 4.6, 4.4, 4.2, 4.1, 1.9, 1.8, 1.7, 1.6])
    home.select(1)
    for name in ("m0", "m1"):
        inputs = [home.workspace.datasets.manifest("seed_pairs")]
        with home.workspace.models.new(name, inputs=inputs) as model:
            (model.folder / "README.md").write_text(CARD)
            (model.folder / "adapter_model.safetensors").write_bytes(name.encode())
            config = {"base_model_name_or_path": "/home/somebody/base", "r": 8}
            (model.folder / "adapter_config.json").write_text(json.dumps(config))
            (model.folder / "training.json").write_text('{"base": "/home/somebody/base"}')
            (model.folder / "optimizer.pt").write_bytes(b"never")
            model.facts["mixture"] = {"seed_pairs": 1}
    return home


def win_rates(home: CuratedHome, rate: float = 61.5) -> None:
    frame = pl.DataFrame({"model": ["m0", "m1"], "prompt_id": ["p", "p"]})
    rows = [{"model": name, "rate": rate, "standard_error": 4.25, "n": 16} for name in ("m0", "m1")]
    home.workspace.datasets.write(
        "win_rates", frame, schema=dict(frame.schema), facts={"win_rates": rows, "judge": "judge-x"}
    )


def test_curated_set_and_model_arrive_whole_with_their_cards(
    home: CuratedHome, hub: FakeHub
) -> None:
    workspace = home.workspace
    write_exports(workspace)
    win_rates(home)
    write_model_cards(workspace)
    lines = list(push(workspace, HfApi(endpoint=hub.url, token=TOKEN)))
    assert len(lines) == 2
    assert {(made["name"], made["organization"], made["type"]) for made in hub.created} == {
        ("reefs", "someone", "dataset"),
        ("reefs", "someone", "model"),
    }
    assert all(made.get("private") or made.get("visibility") == "private" for made in hub.created)
    export = exports_path(workspace) / "curated_set_1"
    sent = hub.files["datasets/someone/reefs"]
    names = {"README.md", "data/train.parquet", "alpaca/train.jsonl", "messages/train.jsonl"}
    assert set(sent) == names
    assert all(sent[name] == (export / name).read_bytes() for name in names)
    model = hub.files["models/someone/reefs"]
    assert set(model) == {"README.md", "adapter_model.safetensors", "adapter_config.json"}
    assert model["adapter_model.safetensors"] == b"m1"
    # By the name others know the base by, and not by where it lies here.
    config = json.loads(model["adapter_config.json"])
    assert config == {"base_model_name_or_path": "some/base", "r": 8}
    card = (model_cards_path(workspace) / "m1" / "README.md").read_bytes()
    assert model["README.md"] == card
    assert b"61.5 %" in card
    assert {card["repoType"] for card in hub.validated} == {"dataset", "model"}
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_token_is_read_from_its_variable_and_written_nowhere(
    home: CuratedHome,
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    write_exports(home.workspace)
    write_model_cards(home.workspace)
    monkeypatch.setenv("REEF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", hub.url)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(home.workspace.recipe.model_dump(mode="json")))
    assert main(["push", "--recipe", str(recipe)]) == 0
    assert hub.tokens == {f"Bearer {TOKEN}"}
    said = capsys.readouterr()
    assert "dataset someone/reefs: curated_set_1, 4 files in c0ffee" in said.out
    hub.refuse = 401
    assert main(["push", "--recipe", str(recipe)]) == 1
    refused = capsys.readouterr()
    texts = [said.out, said.err, refused.out, refused.err, caplog.text]
    texts += [p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file()]
    assert not [text for text in texts if TOKEN in text]


def test_without_section_token_or_files_nothing_is_sent(
    home: CuratedHome, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = HfApi(endpoint=hub.url, token=TOKEN)
    with pytest.raises(HubError, match="materialise the asset exports"):
        list(push(home.workspace, api))
    write_exports(home.workspace)
    with pytest.raises(HubError, match="materialise the asset model_cards"):
        list(push(home.workspace, api))
    write_model_cards(home.workspace)
    monkeypatch.delenv("REEF_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)  # not the one the recipe names
    with pytest.raises(HubError, match="REEF_TOKEN"):
        list(push(home.workspace))
    home.open(curation__iterations="1")
    with pytest.raises(HubError, match=r"exports\.hub"):
        list(push(home.workspace, api))
    assert hub.created == []
    hub.refuse = 403
    home.open(curation__iterations="1", exports__hub=HUB)
    with pytest.raises(HfHubHTTPError):
        list(push(home.workspace, api))


def test_what_was_made_from_an_earlier_version_is_not_pushed(
    home: CuratedHome, hub: FakeHub
) -> None:
    workspace, api = home.workspace, HfApi(endpoint=hub.url, token=TOKEN)
    write_exports(workspace)
    write_model_cards(workspace)
    with workspace.models.new("m1") as model:
        (model.folder / "README.md").write_text(CARD)
        (model.folder / "adapter_model.safetensors").write_bytes(b"other weights")
    with pytest.raises(HubError, match="model_cards was made from an earlier m1"):
        list(push(workspace, api))
    write_model_cards(workspace)
    frame = workspace.datasets.read("curated_set_1").head(2)
    facts = workspace.datasets.manifest("curated_set_1").facts
    workspace.datasets.write("curated_set_1", frame, schema=dict(frame.schema), facts=facts)
    with pytest.raises(HubError, match="exports was made from an earlier curated_set_1"):
        list(push(workspace, api))
    assert hub.created == []


def test_card_shows_no_win_rate_of_other_weights_and_not_where_the_judge_lies(
    home: CuratedHome,
) -> None:
    workspace = home.workspace
    frame = pl.DataFrame({"prompt_id": ["p"]})
    answers = [
        workspace.datasets.write(
            f"{name}_responses",
            frame.with_columns(model=pl.lit(name)),
            schema={"prompt_id": pl.String, "model": pl.String},
            inputs=[workspace.models.manifest(name)],
        )
        for name in ("m0", "m1")
    ]
    rows = [{"model": name, "rate": 61.5, "standard_error": 4.2, "n": 16} for name in ("m0", "m1")]
    facts = {"win_rates": rows, "judge": "/home/somebody/judges/judge-x"}
    workspace.datasets.write(
        "win_rates", frame, schema=dict(frame.schema), inputs=answers, facts=facts
    )
    write_model_cards(workspace)
    table = workspace.datasets.read("model_cards")
    assert table["win_rate"].to_list() == [61.5, 61.5]
    assert not table["card"].str.contains("somebody").any()
    assert table["card"].str.contains("judged by judge-x").all()
    judged = workspace.models.manifest("m1").version
    with workspace.models.new("m1") as model:
        (model.folder / "README.md").write_text(CARD)
    write_model_cards(workspace)
    assert workspace.datasets.read("model_cards")["win_rate"].to_list() == [61.5, None]
    # A version that is current again lies in the folder again.
    workspace.models.versions("m1").publish(judged)
    write_model_cards(workspace)
    assert "61.5 %" in (model_cards_path(workspace) / "m1" / "README.md").read_text()


def test_card_of_an_evaluated_model_keeps_its_training_s_and_adds_what_was_measured(
    home: CuratedHome,
) -> None:
    workspace = home.workspace
    first = write_model_cards(workspace)
    before = ModelCard.load(model_cards_path(workspace) / "m1" / "README.md")
    assert before.data.eval_results is None
    assert "## Evaluation" not in before.text
    win_rates(home)
    assert write_model_cards(workspace).version != first.version
    card = ModelCard.load(model_cards_path(workspace) / "m1" / "README.md")
    data = card.data
    assert (data.base_model, data.library_name, data.license) == ("some/base", "peft", "apache-2.0")
    assert (data.language, data.datasets, data.metrics) == (["en"], ["someone/reefs"], ["win_rate"])
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("win_rate", 61.5)
    assert data.model_name == "demo-m1"
    seeds = workspace.datasets.manifest("seed_pairs")
    for words in ("It was trained.", "judge-x", "Only 16 prompts", seeds.content_hash, "## Limits"):
        assert words in card.text, words
    rows = workspace.datasets.read("model_cards").to_dicts()
    assert [(row["model"], row["win_rate"], row["n"]) for row in rows] == [
        ("m0", 61.5, 16),
        ("m1", 61.5, 16),
    ]
    assert json.dumps(data.to_dict())  # plain values only
