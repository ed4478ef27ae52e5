"""`win-rate`: the win rates of a file of annotations in AlpacaEval's format."""

from __future__ import annotations

import sys
from pathlib import Path

from humpback_pipeline.evaluation.annotation_rates import (
    AnnotatedWinRate,
    win_rates_of_annotations,
)
from humpback_pipeline.evaluation.length_control import Method
from humpback_pipeline.evaluation.win_rates import small_sample_note
from humpback_pipeline.progress import Progress


def print_win_rates(file: str, method: Method = "auto", calibration: str = "") -> int:
    """Print rate, standard error, interval, counts and length-controlled rate of each model."""
    rates = win_rates_of_annotations(file, method=method, calibration=calibration or None)
    for number, rate in enumerate(rates):
        if number:
            print()
        print("\n".join(_lines(Path(file).name, rate)))
    return 0


def judge_and_print(
    outputs: str, references: str, method: Method = "auto", calibration: str = ""
) -> int:
    """Judge a file of outputs by the recipe's judge, then print the win rates."""
    from humpback_pipeline.progress import paced
    from humpback_pipeline.recipe import load_recipe
    from humpback_pipeline.stages import Workspace
    from humpback_pipeline.stages.judged_files import judge_files

    def tell(progress: Progress) -> None:
        print(progress, file=sys.stderr)

    workspace = Workspace(load_recipe())
    path = judge_files(workspace, Path(outputs), Path(references), paced(tell))
    print(f"Verdicts are in {path}\n")
    return print_win_rates(str(path), method, calibration)


def _lines(file: str, rate: AnnotatedWinRate) -> list[str]:
    measured = rate.win_rate
    low, high = measured.interval
    lines = [
        f"{rate.model or file} against {rate.baseline or 'output_1'}"
        + (f", judged by {rate.annotator}" if rate.annotator else ""),
        f"  win rate              {measured.rate!r} %",
        f"  standard error        {measured.standard_error!r} points",
        f"  95 % interval         {low:.2f} … {high:.2f} %",
        f"  wins, losses, draws   {measured.n_wins}, {measured.n_losses}, {measured.n_draws}",
        f"  prompts               {measured.n}"
        + (f" ({measured.n_unusable} more have no verdict)" if measured.n_unusable else ""),
        f"  mean output           {rate.output_chars_mean:.0f} characters "
        f"(the baseline's: {rate.baseline_chars_mean:.0f})",
    ]
    if (controlled := rate.length_controlled) is None:
        lines.append(f"  length-controlled     none: {rate.length_note}")
        if "calibration=" in rate.length_note:
            lines.append("                        Here: --calibration CSV, or --method …")
    else:
        lines.append(f"  length-controlled     {controlled.rate!r} % ({controlled.method})")
        if rate.length_note:
            lines.append(f"                        {rate.length_note}")
    if note := small_sample_note(measured.n, (high - low) / 2):
        lines.append(f"  {note}")
    return lines
