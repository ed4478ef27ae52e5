"""The executor: a process for each step, forked from one that has the modules loaded.

How many things run at once is decided in four places, from the outside in: `max_concurrent_runs` in
dagster.yaml, the slots of the pool `gpu` (one for each machine; a step uses all free GPUs by
itself), `max_concurrent` here, and `generation.engines` in the recipe. What goes first: runs by
their tag `dagster/priority` in the queue, steps by the same tag on their asset.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.execution.plan import instance_concurrency_context as slots

from humpback_pipeline.automation.worker import end_orphans, hold_run, remove_leftovers_of
from humpback_pipeline.recipe import Recipe, load_recipe

# One at work on the GPU, one on the CPU beside it.
MAX_CONCURRENT_STEPS = 2
# A step asked to stop has this long; then it is killed, which costs it nothing that is on disk.
STOP_GRACE_S = 5.0
DEFINITIONS = "humpback_pipeline.definitions"
# Importing these takes 5 s together; a step forked from a server that did it once starts at once.
# None of them touches a GPU on import, which a fork could not share.
HEAVY_MODULES = ["torch", "transformers", "trl", "peft"]
HEAVY_POOL = "gpu"
PRELOAD = "humpback_pipeline.automation.preload"
# Dagster asks for a busy pool's slot at growing intervals, up to 15 s, in which the GPU would idle.
# It has no setting for that; a test watches that the name it uses still exists.
slots.MAX_CONCURRENCY_CLAIM_BLOCKED_INTERVAL = 1


def build_executor(recipe: Recipe | None = None) -> dg.ExecutorDefinition:
    """Dagster's multiprocess executor: memory returns as a step ends, a crash is contained.

    Added to it: a step that does not stop when it is asked is killed, and only what the run's steps
    need is loaded beforehand.
    """
    engine = (recipe or load_recipe()).generation.engine
    heavy = [*HEAVY_MODULES, *(["vllm"] if engine == "vllm" else [])]

    @dg.executor(
        name="multiprocess",
        config_schema={
            "max_concurrent": dg.Field(
                int,
                default_value=MAX_CONCURRENT_STEPS,
                description="Steps at work at once; those of a pool also wait for its slots.",
            )
        },
        requirements=dg.multiple_process_executor_requirements(),
    )
    def multiprocess(context: dg.InitExecutorContext) -> dg.Executor:
        return StoppableExecutor(context, heavy)

    return multiprocess


class StoppableExecutor(dg.Executor):
    """A multiprocess executor whose steps stop within `STOP_GRACE_S` of being asked.

    Python code hears of an interrupt between two bytecodes only, which a long call into C delays,
    and an interrupt raised where exceptions are swallowed is lost.
    """

    def __init__(self, context: dg.InitExecutorContext, heavy_modules: list[str]) -> None:
        self._context = context
        self._heavy_modules = heavy_modules
        self._plain = self._inner([])

    @property
    def retries(self) -> Any:
        """As Dagster's: steps ask for a retry themselves."""
        return self._plain.retries

    @property
    def step_dependency_config(self) -> Any:
        """As Dagster's."""
        return self._plain.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Events of the steps, as they come."""
        hold_run(plan_context.instance, plan_context.run_id)
        _clean_up_after_parent(plan_context.instance, plan_context.dagster_run)
        steps = execution_plan.get_steps_to_execute_in_topo_order()
        # For one heavy step alone, loading beforehand only makes the others wait for it.
        is_heavy = sum(step.pool == HEAVY_POOL for step in steps) > 1
        inner = self._inner(self._heavy_modules if is_heavy else [])
        killer: threading.Timer | None = None
        killed: set[int] = set()
        try:
            for event in inner.execute(plan_context, execution_plan):
                yield event
                if killer is None and _is_interruption(event):
                    killer = threading.Timer(STOP_GRACE_S, _kill_steps, [killed])
                    killer.daemon = True
                    killer.start()
        finally:
            if killer is not None:
                killer.cancel()
                killer.join()
            if killed:
                remove_leftovers_of(load_recipe().home, killed)

    def _inner(self, modules: list[str]) -> dg.Executor:
        create = dg.multiprocess_executor.executor_creation_fn
        assert create is not None
        config = {
            **self._context.executor_config,
            "retries": {"enabled": {}},
            "start_method": {"forkserver": {"preload_modules": [DEFINITIONS, *modules, PRELOAD]}},
        }
        return create(self._context._replace(executor_config=config))


def _clean_up_after_parent(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Leave nothing of the run that this one goes on with: it may have been killed."""
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    if parent is not None and parent.is_finished:
        end_orphans(instance, parent.run_id)


def _is_interruption(event: dg.DagsterEvent) -> bool:
    metadata = getattr(event.event_specific_data, "metadata", None) or {}
    return event.is_engine_event and "steps_interrupted" in metadata


def _kill_steps(killed: set[int]) -> None:
    for child in multiprocessing.active_children():
        if child.pid is not None:
            killed.add(child.pid)
            child.kill()
