"""What Dagster costs: the same stages as plain functions, and as one Dagster run.

    python benchmarks/orchestration.py [--recipe NAME] [--set FIELD=VALUE …] [--tiny]

Both start in fresh homes with the base model already converted, one after the other:

(a) every stage of `humpback_pipeline.stages` called in dependency order, in one process;
(b) `python -m humpback_pipeline run`.

The overhead is (wall of b - work in b) / wall of b. Work is the union of the intervals in which at
least one stage function was running, in any process: two at once count once. Everything else is
overhead, be it the preflight, the start of processes, imports before the stage is called, metadata
and plots for the UI, writing events, or waiting. The intervals are taken by `stage_trace`.

The whole demo takes about twenty minutes on two idle cores; `--tiny`, a random two-layer model,
takes two, but there is so little work in it that its overhead says nothing of a real run's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humpback_pipeline.stages import Workspace

ROOT = Path(__file__).parents[1]
TARGET_OVERHEAD = 0.15
TARGET_STARTUP_S = 5.0
N_STARTS = 3
Interval = tuple[float, float]


@dataclass
class Step:
    """A step of the Dagster run: Unix times of its events, and when its stages were at work."""

    launched: float = 0.0
    start: float = 0.0
    end: float = 0.0
    pid: int = 0
    work: list[Interval] = field(default_factory=list)


@dataclass
class DagsterRun:
    """The Dagster run (b): Unix times of its parts, and its steps by name."""

    begin: float
    run_start: float
    end: float
    steps: dict[str, Step]

    @property
    def wall_s(self) -> float:
        """From the start of the command to its end."""
        return self.end - self.begin


def main() -> None:
    """Run both and print the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", default="demo", help="a bundled recipe's name or a YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--tiny", action="store_true", help="a random model, for a quick look")
    parser.add_argument("--keep", type=Path, help="folder for homes and traces, kept afterwards")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # (a), in its own process
    options = parser.parse_args()
    if options.plain:
        run_plain(options.plain)
        return
    print_startup()
    with tempfile.TemporaryDirectory(prefix="orchestration-") as scratch:
        folder = options.keep or Path(scratch)
        environment = prepare(folder, options.recipe, options.set, options.tiny)
        plain_s, plain = measure_plain(folder / "plain", environment)
        run = measure_dagster(folder / "dagster", environment)
    print_comparison(plain_s, plain, run)


def prepare(folder: Path, recipe: str, settings: list[str], tiny: bool) -> dict[str, str]:
    """Environment of both ways; their homes are made, each with the converted base model."""
    if tiny:
        sys.path.insert(0, str(ROOT / "humpback_pipeline_tests"))
        from projects import make_project

        recipe = str(make_project(folder / "tiny").recipe)
    kept = {k: v for k, v in os.environ.items() if k not in ("HUMPBACK_HOME", "DAGSTER_HOME")}
    environment = {
        **kept,
        "HUMPBACK_RECIPE": recipe,
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": str(Path(__file__).parent / "stage_trace"),
    }
    if settings:
        environment["HUMPBACK_SET"] = " ".join(settings)
    script = (
        "from humpback_pipeline.recipe import load_recipe\n"
        "from humpback_pipeline.stages import Workspace\n"
        "workspace = Workspace(load_recipe())\n"
        "workspace.base_model, workspace.judge\n"
    )
    base = {**environment, "HUMPBACK_HOME": str(folder / "base")}
    subprocess.run([sys.executable, "-c", script], env=base, check=True, capture_output=True)
    for way in ("plain", "dagster"):
        (folder / way / "home").mkdir(parents=True)
        if (folder / "base" / "cache").is_dir():
            shutil.copytree(folder / "base" / "cache", folder / way / "home" / "cache")
    return environment


def run_plain(result: Path) -> None:
    """(a): all stages, each after those it needs; seconds of each step go to `result`."""
    from humpback_pipeline.recipe import load_recipe
    from humpback_pipeline.stages import Workspace

    workspace = Workspace(load_recipe())
    seconds: dict[str, float] = {}
    for step, work in plain_steps(workspace):
        start = time.perf_counter()
        work()
        seconds[step] = time.perf_counter() - start
        print(f"  {step}  {seconds[step]:.1f} s", flush=True)
    result.write_text(json.dumps(seconds))


def plain_steps(workspace: Workspace) -> Iterator[tuple[str, Callable[[], object]]]:
    """(step's name, its work) in the order of dependency."""
    from humpback_pipeline.stages import (
        augmentation,
        corpus,
        data_analysis,
        instruction_diversity,
        iteration,
        report,
        responses,
        seed,
        selection_quality,
        win_rates,
    )

    shards = list(workspace.shards())
    iterations = workspace.recipe.curation.iterations

    def on(stage: Callable[..., object], *arguments: object) -> Callable[[], object]:
        return lambda: stage(workspace, *arguments)

    def all_of(stage: Callable[..., Iterable[object]], *arguments: object) -> Callable[[], object]:
        return lambda: list(stage(workspace, *arguments))

    yield "seed_pairs", on(seed.write_seed_pairs)
    yield "clueweb_segments", lambda: [corpus.write_segments(workspace, s) for s in shards]
    yield "corpus_selection", on(corpus.write_selection, shards)
    yield "backward_model", on(augmentation.train_backward_model)
    yield "augmented_set", all_of(augmentation.write_augmented_set, shards)
    yield "m0", on(iteration.train_forward_model, 0)
    for t in range(1, iterations + 1):
        yield f"curation_scores_{t}", all_of(iteration.write_curation_scores, t, shards)
        yield f"curated_set_{t}", on(iteration.write_curated_set, t, shards)
        yield f"m{t}", on(iteration.train_forward_model, t)
    for t in range(iterations + 1):
        yield f"m{t}_responses", on(responses.write_responses, t)
    yield "base_responses", on(responses.write_base_responses)
    yield "win_rates", on(win_rates.write_win_rates)
    yield "selection_quality", on(selection_quality.write_selection_quality)
    yield "data_statistics", on(data_analysis.write_data_statistics, shards)
    yield "instruction_diversity", on(instruction_diversity.write_instruction_diversity, shards)
    yield "report", on(report.write_report, shards)


def measure_plain(folder: Path, environment: dict[str, str]) -> tuple[float, dict[str, float]]:
    """Wall seconds of (a), with the start of Python and all imports, and of each step."""
    print("\n(a) stages as plain functions …", flush=True)
    command = [sys.executable, str(Path(__file__)), "--plain", str(folder / "steps.json")]
    start = time.perf_counter()
    with (folder / "output.log").open("w") as output:
        result = subprocess.run(
            command,
            env={**environment, "HUMPBACK_HOME": str(folder / "home")},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    wall_s = time.perf_counter() - start
    if result.returncode:
        sys.exit((folder / "output.log").read_text()[-5_000:])
    return wall_s, json.loads((folder / "steps.json").read_text())


def measure_dagster(folder: Path, environment: dict[str, str]) -> DagsterRun:
    """(b): one run, then its events and the trace of its stages."""
    print("(b) one Dagster run …", flush=True)
    home, trace = folder / "instance", folder / "trace.jsonl"
    home.mkdir()
    shutil.copy(ROOT / "dagster.yaml", home)
    own = {
        "HUMPBACK_HOME": str(folder / "home"),
        "DAGSTER_HOME": str(home),
        "STAGE_TRACE": str(trace),
    }
    begin = time.time()
    with (folder / "output.log").open("w") as output:
        result = subprocess.run(
            [sys.executable, "-m", "humpback_pipeline", "run"],
            cwd=ROOT,
            env={**environment, **own},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    end = time.time()
    if result.returncode:
        sys.exit((folder / "output.log").read_text()[-5_000:])
    run_start, steps = read_events(home)
    for line in trace.read_text().splitlines():
        call = json.loads(line)
        for step in steps.values():
            if step.pid == call["pid"]:
                step.work.append((call["start"], call["end"]))
    return DagsterRun(begin, run_start, end, steps)


def read_events(dagster_home: Path) -> tuple[float, dict[str, Step]]:
    """Start of the only run there, and its steps, from the event log."""
    import dagster as dg

    steps: dict[str, Step] = {}
    run_start = 0.0
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        (run,) = instance.get_runs()
        for entry in instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is None:
                continue
            step = steps.setdefault(event.step_key, Step()) if event.step_key else Step()
            match event.event_type_value:
                case "PIPELINE_START":
                    run_start = entry.timestamp
                case "STEP_WORKER_STARTING":
                    step.launched = entry.timestamp
                case "STEP_START":
                    step.start, step.pid = entry.timestamp, event.pid
                case "STEP_SUCCESS":
                    step.end = entry.timestamp
    return run_start, {name: step for name, step in steps.items() if step.pid}


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same moments as disjoint intervals in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged


def length(intervals: Iterable[Interval]) -> float:
    """Seconds in which at least one of the intervals holds."""
    return sum(end - start for start, end in union(intervals))


def split_wall(run: DagsterRun) -> dict[str, float]:
    """Every second of (b) under one heading, the first that fits."""
    steps = list(run.steps.values())
    first = min(step.start for step in steps)
    parts: dict[str, list[Interval]] = {
        "work: a stage function is running": [i for step in steps for i in step.work],
        "in a step, beside its stage (metadata, plots, checks, events)": [
            (step.start, step.end) for step in steps
        ],
        "command and preflight, until the run starts": [(run.begin, run.run_start)],
        "first step's process (the fork server imports the heavy modules)": [
            (run.run_start, first)
        ],
        "later steps' processes, from their launch to their start": [
            (step.launched, step.start) for step in steps
        ],
        "end of the last step to the end of the command": [
            (max(step.end for step in steps), run.end)
        ],
        "between steps, none launched yet": [(run.begin, run.end)],
    }
    seconds, covered = {}, []
    for name, intervals in parts.items():
        before = length(covered)
        covered = union([*covered, *intervals])
        seconds[name] = length(covered) - before
    return seconds


def print_comparison(plain_s: float, plain: dict[str, float], run: DagsterRun) -> None:
    """Walls, overhead, where it went, and each step."""
    if unseen := [name for name in plain if not run.steps[name].work]:
        sys.exit(f"no stage function was seen in {', '.join(unseen)}: the trace is not whole")
    parts = split_wall(run)
    work_s = next(iter(parts.values()))
    overhead = (run.wall_s - work_s) / run.wall_s
    met = "met" if overhead < TARGET_OVERHEAD else "MISSED"
    print(f"\n(a) plain functions   {plain_s:8.1f} s   ({sum(plain.values()):.1f} s in stages)")
    print(f"(b) one Dagster run   {run.wall_s:8.1f} s   ({len(run.steps)} steps, two at a time)")
    print(f"b / a                 {run.wall_s / plain_s:8.2f}")
    print(
        f"overhead of b         {overhead:8.1%}   = (wall - work) / wall; target "
        f"< {TARGET_OVERHEAD:.0%}: {met}"
    )
    print("\nEvery second of b (work = union over processes of the time in stage functions)")
    for name, seconds in parts.items():
        print(f"  {seconds:7.1f} s  {seconds / run.wall_s:6.1%}  {name}")
    print("\n  seconds:                 plain  stage in b  whole step  launch to start")
    for name, step in sorted(run.steps.items(), key=lambda item: item[1].start):
        alone = f"{plain[name]:8.1f}" if name in plain else "       -"
        print(
            f"  {name:<24}{alone}{length(step.work):12.1f}{step.end - step.start:12.1f}"
            f"{step.start - step.launched:17.1f}"
        )


def print_startup() -> None:
    """How long the code location takes to load, in fresh processes, and on what."""
    load = ["-c", "import humpback_pipeline.definitions"]
    validate = ["-m", "dagster", "definitions", "validate", "-m", "humpback_pipeline.definitions"]
    seconds = {
        "python itself": start_s(["-c", "pass"]),
        "import dagster": start_s(["-c", "import dagster"]),
        "import of the code location": start_s(load),
        "dagster definitions validate": start_s(validate),
    }
    print(f"Startup, median of {N_STARTS} fresh processes, the interpreter's own start included")
    for name, value in seconds.items():
        print(f"  {value:6.2f} s  {name}")
    startup_s = seconds["import of the code location"]
    met = "met" if startup_s < TARGET_STARTUP_S else "MISSED"
    print(f"  target for the code location < {TARGET_STARTUP_S:.0f} s: {met}; by package:")
    for package, own_s in import_seconds(load).most_common(8):
        print(f"    {own_s:6.2f} s  {package}")


def start_s(arguments: list[str]) -> float:
    """Median wall seconds of `python ARGUMENTS`."""
    seconds = []
    for _ in range(N_STARTS):
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, check=False, capture_output=True, text=True
        )
        if result.returncode:
            sys.exit(result.stderr[-5_000:])
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def import_seconds(arguments: list[str]) -> Counter[str]:
    """Seconds that the modules of each top-level package took, without those they import."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds: Counter[str] = Counter()
    for line in result.stderr.splitlines():
        columns = line.removeprefix("import time:").split("|")
        if len(columns) == 3 and columns[0].strip().isdigit():
            seconds[columns[2].strip().partition(".")[0]] += int(columns[0]) / 1e6
    return seconds


if __name__ == "__main__":
    main()
