"""What a training tells of while it runs, as the Dagster UI shows it live."""

import dagster as dg

from humpback_pipeline.training.events import OnEvent, TrainingEvent


def log_training(context: dg.AssetExecutionContext) -> OnEvent:
    """A listener that logs all but steps, and makes each measured loss an observation.

    Of numbers in an asset's observations the UI draws a line on its page; a training of days would
    else show nothing there before its end. Steps are told as progress, at a pace a log can bear.
    """
    latest: dict[str, float] = {}

    def listen(event: TrainingEvent) -> None:
        if event.kind == "step":
            latest.update(event.facts)
            return
        context.log.info(f"training | {event}")
        if event.kind == "held_out":
            names = ("learning_rate", "grad_norm")
            metadata = {name: latest[name] for name in names if name in latest}
            if "loss" in latest:
                metadata["training_loss"] = latest["loss"]
            metadata["held_out_loss"] = event.facts["loss"]
            observed = {"training_step": event.step, **metadata}
            context.log_event(dg.AssetObservation(context.asset_key, metadata=observed))

    return listen
