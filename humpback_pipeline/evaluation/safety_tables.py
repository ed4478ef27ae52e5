"""How often models refuse or harm, by tag: rates with intervals, agreement, paired comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from humpback_pipeline.evaluation.intervals import wilson_interval
from humpback_pipeline.evaluation.safety import UNJUDGED
from humpback_pipeline.evaluation.share_changes import adjusted, share_change

# Rate → which column of the verdicts says whether an answer counts.
RATES = {"refused": "refused", "harmful": "harmful_answer", "refused_by_rule": "rule_refuses"}
TAG_NAMES = {"seed": "S_a", "web": "S_w", "both": "S_a + S_w"}


def with_outcomes(verdicts: pl.DataFrame) -> pl.DataFrame:
    """The verdicts with the columns refused and harmful_answer, as the judge says; judged ones."""
    return verdicts.filter(pl.col("verdict") != UNJUDGED).with_columns(
        refused=pl.col("verdict") == "refuses", harmful_answer=pl.col("verdict") == "harmful"
    )


def safety_rates(verdicts: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for each model, tag and kind of prompt: n, and `RATES` with low and high (95 %).

    Columns: answers_of (the model), tag, prompts (harmful or harmless), n, `RATES`.

    verdicts: columns model, tag, harmful (of the prompt), verdict, rule_refuses. On prompts that
    ask for harm a refusal is right; on harmless look-alikes it is over-refusal.
    """
    rows = []
    for (model, tag, harmful), group in with_outcomes(verdicts).group_by(
        ["model", "tag", "harmful"], maintain_order=True
    ):
        row: dict[str, Any] = {
            "answers_of": model,
            "tag": TAG_NAMES[str(tag)],
            "prompts": "harmful" if harmful else "harmless",
            "n": group.height,
        }
        for name, column in RATES.items():
            hits = int(group[column].sum())
            low, high = wilson_interval(hits, group.height)
            row |= {name: hits / group.height, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def rates_table(rates: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The rates for people: `0.73 [0.56, 0.86]`."""
    return pl.DataFrame(
        [
            {
                "model": row["answers_of"],
                **{name: row[name] for name in ("tag", "prompts", "n")},
                **{
                    name: f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"
                    for name in RATES
                },
            }
            for row in rates
        ]
    )


def judge_and_rule(verdicts: pl.DataFrame) -> dict[str, Any]:
    """How far judge and rule agree on what refuses: n, agreement with interval, Cohen's κ.

    κ is None where one of them only ever says one thing. Also the share of answers where the
    judge's verdict hangs on the order of its options.
    """
    from sklearn.metrics import cohen_kappa_score

    rows = with_outcomes(verdicts)
    n = rows.height
    judge, rule = rows["refused"].to_list(), rows["rule_refuses"].to_list()
    n_same = sum(a == b for a, b in zip(judge, rule, strict=True))
    low, high = wilson_interval(n_same, n)
    varied = len(set(judge)) > 1 and len(set(rule)) > 1
    return {
        "n": n,
        "agreement": n_same / n if n else None,
        "agreement_low": low,
        "agreement_high": high,
        "kappa": float(cohen_kappa_score(judge, rule)) if varied else None,
        "order_decides": 1 - float(rows["consistent"].sum()) / n if n else None,
    }


def safety_comparisons(
    verdicts: pl.DataFrame, models: Iterable[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Paired tests on the prompts that ask for harm: models under each tag, S_w against S_a.

    models: (before, after). Rows: what (refused or harmful), before, after, tag, and `ShareChange`.
    """
    rows = with_outcomes(verdicts).filter("harmful")
    tags = rows["tag"].unique(maintain_order=True).to_list()
    names = rows["model"].unique(maintain_order=True).to_list()
    pairs = [((a, tag), (b, tag)) for a, b in models for tag in tags]
    if {"seed", "web"} <= set(tags):
        pairs += [((name, "seed"), (name, "web")) for name in names]
    keys, changes = [], []
    for first, second in pairs:
        joined = _of(rows, *first).join(_of(rows, *second), on="prompt_id", suffix="_after")
        if joined.height < 2:
            continue
        for what in ("refused", "harmful_answer"):
            before, after = joined[what].to_list(), joined[f"{what}_after"].to_list()
            keys.append({"what": what, "before": _named(*first), "after": _named(*second)})
            changes.append(share_change(before, after))
    return [{**key, **asdict(c)} for key, c in zip(keys, adjusted(changes), strict=True)]


def comparisons_table(comparisons: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The comparisons for people, surest first."""
    return pl.DataFrame(
        [
            {
                "share": row["what"].removesuffix("_answer"),
                "before": row["before"],
                "after": row["after"],
                "n": row["n"],
                "change": f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]",
                "p (McNemar)": row["p_value"],
                "p (Holm)": row["p_adjusted"],
            }
            for row in sorted(comparisons, key=lambda row: row["p_value"])
        ]
    )


def _of(rows: pl.DataFrame, model: str, tag: str) -> pl.DataFrame:
    own = rows.filter(pl.col("model") == model, pl.col("tag") == tag)
    return own.select("prompt_id", "refused", "harmful_answer")


def _named(model: str, tag: str) -> str:
    return f"{model}, {TAG_NAMES[tag]}"
