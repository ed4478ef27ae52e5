"""A training shows itself in Dagster while it runs."""

import dagster as dg

from humpback_pipeline.assets.training_events import log_training
from humpback_pipeline.training import TrainingEvent


def test_measured_losses_are_observations_while_the_asset_is_made() -> None:
    seen_while_running: list[int] = []

    @dg.asset
    def model(context: dg.AssetExecutionContext) -> None:
        listen = log_training(context)
        listen(TrainingEvent("held_out", 0, {"loss": 3.0}))
        facts = {"loss": 2.5, "learning_rate": 1e-5, "grad_norm": 0.5}
        listen(TrainingEvent("step", 25, facts))
        listen(TrainingEvent("held_out", 25, {"loss": 2.75}))
        listen(TrainingEvent("checkpoint", 25, {"size_bytes": 8.0, "took_s": 0.5}))
        records = context.instance.fetch_observations(dg.AssetKey("model"), limit=10).records
        seen_while_running.append(len(records))

    with dg.instance_for_test() as instance:
        result = dg.materialize([model], instance=instance)
        records = instance.fetch_observations(dg.AssetKey("model"), limit=10).records
        events = instance.all_logs(result.run_id)
    assert seen_while_running == [2]
    latest = records[0].asset_observation
    assert latest is not None
    assert {name: entry.value for name, entry in latest.metadata.items()} == {
        "training_step": 25,
        "learning_rate": 1e-5,
        "grad_norm": 0.5,
        "training_loss": 2.5,
        "held_out_loss": 2.75,
    }
    lines = [event.user_message for event in events]
    assert any("training | checkpoint at step 25: size_bytes 8, took_s 0.5" in x for x in lines)
    assert not any("step at step" in line for line in lines)
