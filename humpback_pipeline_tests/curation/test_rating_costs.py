"""The benchmark of ratings: what it counts on a real engine, and what it makes of the counts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_models import save_byte_model
from tiny_settings import tiny_settings

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from curation import LABELLED, Cost, open_bench, read_pairs, shared_beginnings, table
from rating_costs.meter import Asked, Metered, Read, shared_tokens


def asked(*token_ids: int) -> Asked:
    return Asked(list(token_ids), SimpleNamespace(max_tokens=1))


def test_shared_tokens_of_prompts_is_their_longest_common_beginning() -> None:
    assert shared_tokens([asked(1, 2, 3, 9), asked(1, 2, 4), asked(1, 2, 3, 4)]) == 2
    assert shared_tokens([asked(1, 2), asked(1, 2, 3)]) == 2
    assert shared_tokens([asked(5), asked(6)]) == 0


def test_table_tells_efficiency_and_cache_from_the_counts() -> None:
    prompts = [asked(1, 1, 1, 1, n) for n in (7, 8)]
    read = [Read(prompt=5, cached=0, generated=1), Read(prompt=5, cached=4, generated=1)]
    ours = [Metered(s, 2.0, 3.0, 4, 6, prompts, read) for s in (4.0, 5.0, 4.0)]
    direct = [Metered(3.8, 1.9, 3.8, 4, 8, prompts, read)] * 3
    cost = Cost("expected", ours, direct)

    line = " ".join(table([cost], n_pairs=2, most_sequences=2)[1].split())

    assert line == "expected 2.000 5 40.0% 1.0 25.0% 0.0% 75% 95.0% (76.0%-95.0%) 95.0%"
    assert "these were computed 1.00 times for 2 prompts" in shared_beginnings(cost, 2, 2)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM here")
def test_both_ways_ask_the_engine_the_same(tmp_path: Path) -> None:
    pairs = read_pairs(LABELLED, 3)
    settings = tiny_settings("vllm", max_concurrent_sequences=2)
    settings = settings.model_copy(update={"chunk_size": 2})
    model = save_byte_model(tmp_path / "model")
    bench = open_bench(model, settings, pairs, tmp_path, 3, cache_dir=tmp_path / "cache")
    with bench.engine:
        expected, reasoned, relevance = bench.measure(
            ["expected", "reasoned", "relevance", "combined"], 1
        )

    for cost in (expected, reasoned, relevance):
        for ours, direct in zip(cost.ours, cost.direct, strict=True):
            assert sorted(ours.read) == sorted(direct.read)
            assert [one.token_ids for one in ours.asked] == [one.token_ids for one in direct.asked]
            assert 0.0 < ours.step_s < ours.elapsed_s
            assert 0 < ours.in_steps <= 2 * ours.n_steps
    assert len(expected.ours[0].asked) == 3
    assert expected.ours[0].tokens("generated") == 3
    assert "computed 1.00 times for 3 prompts" in shared_beginnings(expected, 3, 128)
    assert len(reasoned.ours[0].asked) == 6
    assert relevance.also == ["combined"]
    assert len(relevance.ours[0].asked) == 12
    assert relevance.ours[0].tokens("cached") == 0
