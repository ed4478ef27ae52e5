"""Parts of the recipe about how a training runs; none of them is about what it learns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from humpback_pipeline.recipe_section import Section

# Fields of TrainingRecipe that say where and how safely a training runs. A change of one of them
# trains nothing anew and leaves checkpoints valid: after memory ran out, a training goes on with
# less of it. Losses are those of the same steps, but for sums in another order.
OPERATIONS = frozenset(
    {
        "checkpoint_every_s",
        "checkpoint_every_steps",
        "distributed",
        "divergence",
        "gradient_checkpointing",
        "micro_batch_size",
        "own_process",
        "report_to",
        "samples",
    }
)


class DistributedRecipe(Section):
    """One training in several processes of this machine, each on a GPU, or on a share of the CPU.

    The batch stays as it is; each process takes its share of every step.
    """

    processes: int = Field(1, ge=1)
    strategy: Literal["none", "ddp", "fsdp2", "zero3"] = Field(
        "none",
        description="ddp: a whole model in each; fsdp2 and zero3 (DeepSpeed): each holds a part.",
    )
    cpu_offload: bool = Field(
        False, description="Keep parameters and optimizer in the machine's memory; slow, frugal."
    )

    @model_validator(mode="after")
    def _possible(self) -> DistributedRecipe:
        if self.processes > 1 and self.strategy == "none":
            raise ValueError("several processes need a strategy: ddp, fsdp2 or zero3")
        if self.processes == 1 and self.strategy == "fsdp2":
            raise ValueError("fsdp2 shares a model out: it needs several processes")
        if self.cpu_offload and self.strategy not in ("fsdp2", "zero3"):
            raise ValueError("cpu_offload needs strategy fsdp2 or zero3")
        return self


class DivergenceRecipe(Section):
    """When a loss that is still a number counts as exploded; one that is not always does.

    The loss must stay above `loss_ratio` times the lowest running median so far (of 20 steps; never
    taken as less than 1 nat a token) for `steps` steps on end.
    """

    loss_ratio: float | None = Field(2.0, gt=1, description="Empty: never stop for this.")
    steps: int = Field(5, ge=1)
