"""The page of a trained model: curves, speed, arithmetic, samples, card, TensorBoard."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from projects import make_project

from humpback_pipeline.assets.sparklines import INLINE_CHARS
from humpback_pipeline.assets.training_page import training_metadata
from humpback_pipeline.stages.iteration import train_forward_model
from humpback_pipeline.stages.seed import write_seed_pairs


def test_page_of_a_model_shows_how_it_was_trained(tmp_path: Path) -> None:
    workspace = make_project(
        tmp_path / "project",
        shards={},
        recipe={"training.steps": 2, "training.samples": 2, "seed.dev_fraction": 0.4},
        n_pairs=10,
    ).workspace()
    write_seed_pairs(workspace)
    manifest = train_forward_model(workspace, 0)
    page = training_metadata(workspace, manifest, "M_0")
    assert {"loss_curve", "tokens", "tokens_per_s", "peak_memory_mb", "mixture"} <= page.keys()
    assert page["flop_utilisation"] == round(manifest.facts["utilisation"], 4)
    assert page["model_tflops_per_s"] > 0

    assert len(manifest.facts["samples"]) == 2
    assert len(page["samples"].value) < INLINE_CHARS
    assert "| prompt | expected | before | after |" in page["samples_whole"].value
    first = manifest.facts["samples"][0]["expected"].split()[0]
    assert first in page["samples_whole"].value

    card = page["model_card"].value
    assert card.startswith("# A model")
    assert "| seed |" in card
    assert manifest.facts["examples_sha256"] in card

    logs = Path(page["tensorboard"].value)
    assert logs.is_absolute()
    assert list(logs.glob("events.out.tfevents.*"))
    assert str(logs) in page["tensorboard_command"].value
    assert not Path(manifest.facts["tensorboard"]).is_absolute()

    # A model of an earlier version, whose facts and files were fewer.
    new = ("samples", "tensorboard", "utilisation", "model_flops_per_s")
    facts = {name: value for name, value in manifest.facts.items() if name not in new}
    (workspace.models.path("m0") / "README.md").unlink()
    older = training_metadata(workspace, manifest.model_copy(update={"facts": facts}), "M_0")
    gone = {"samples", "samples_whole", "model_card", "tensorboard", "tensorboard_command"}
    assert page.keys() - older.keys() == gone | {"flop_utilisation", "model_tflops_per_s"}

    # One shared out over processes, some of whose held-out pairs were too long.
    more = {"samples": [], "samples_left_out": "no samples: why", "held_out_dropped": {"long": 3}}
    shared = manifest.model_copy(update={"facts": {**manifest.facts, **more}})
    other = training_metadata(workspace, shared, "M_0")
    assert other["samples"] == "no samples: why"
    assert "| long | 3 |" in other["held_out_dropped"].value
    dg.AssetMaterialization("m0", metadata=other)
    dg.AssetMaterialization("m0", metadata=page)  # else it says which value is no metadata
