import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import budget_for, learning_rate_at, plan


@pytest.mark.parametrize(
    ("n_examples", "batch_size", "steps"),
    [
        (100, 8, 30),
        (800, 8, 300),
        (1_600, 8, 600),
        (3_200, 32, 500),
        (6_400, 32, 600),
        (12_800, 32, 600),
        (25_600, 32, 1_200),
        (51_200, 32, 1_600),
    ],
)
def test_budget_is_the_papers_at_its_rows(n_examples: int, batch_size: int, steps: int) -> None:
    assert budget_for(n_examples) == (batch_size, steps)


@pytest.mark.parametrize(
    ("n_examples", "batch_size", "steps"),
    [
        (1, 8, 30),
        (450, 8, 165),
        (2_999, 8, 513),
        (3_000, 32, 512),
        (19_200, 32, 900),
        (502_133, 32, 1_600),
    ],
)
def test_budget_between_and_beyond_rows(n_examples: int, batch_size: int, steps: int) -> None:
    assert budget_for(n_examples) == (batch_size, steps)


def test_budget_of_no_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="n_examples"):
        budget_for(0)


def test_learning_rate_line_has_exact_ends() -> None:
    assert learning_rate_at(0, 500) == 1e-5
    assert learning_rate_at(499, 500) == 9e-6
    assert learning_rate_at(250, 501) == pytest.approx(9.5e-6, rel=1e-12)
    assert learning_rate_at(0, 1) == 1e-5
    assert learning_rate_at(500, 500) == 9e-6


@given(st.integers(2, 5_000), st.data())
def test_learning_rate_falls_and_never_leaves_its_ends(total: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, total - 2))
    here, after = learning_rate_at(step, total), learning_rate_at(step + 1, total)
    assert 9e-6 <= after < here <= 1e-5


@pytest.mark.parametrize(("step", "total"), [(-1, 5), (0, 0)])
def test_learning_rate_outside_training_is_refused(step: int, total: int) -> None:
    with pytest.raises(ValueError, match="step"):
        learning_rate_at(step, total)


def test_plan_follows_the_paper_where_the_recipe_is_empty() -> None:
    schedule = plan(TrainingRecipe(micro_batch_size=4), 3_200)
    assert (schedule.batch_size, schedule.steps) == (32, 500)
    assert (schedule.micro_batch_size, schedule.accumulation) == (4, 8)


@given(st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 2, 4]))
def test_plan_always_makes_whole_batches(batch: int, micro: int, world: int) -> None:
    settings = TrainingRecipe(batch_size=batch * world, micro_batch_size=micro)
    schedule = plan(settings, 1_000, world)
    assert schedule.micro_batch_size * schedule.accumulation * world == batch * world
    assert schedule.micro_batch_size <= micro


def test_plan_refuses_a_batch_the_devices_cannot_share() -> None:
    with pytest.raises(ValueError, match="multiple of 3"):
        plan(TrainingRecipe(batch_size=8), 100, world_size=3)
