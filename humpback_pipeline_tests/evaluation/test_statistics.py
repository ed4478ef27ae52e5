"""Data statistics: lengths in characters, mean and sample standard deviation."""

import math

import polars as pl
import pytest

from humpback_pipeline.evaluation import PAPER_DATA_STATISTICS, DataStatisticsRow, data_statistics


def pairs(*texts: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"instruction": [i for i, _ in texts], "output": [o for _, o in texts]},
        schema={"instruction": pl.String, "output": pl.String},
    )


def test_data_statistics_of_a_worked_case():
    row = data_statistics({"seed": pairs(("ab", "x"), ("abcd", "xyz"))}).row(0, named=True)
    assert (row["dataset"], row["n_examples"]) == ("seed", 2)
    assert (row["instruction_chars_mean"], row["output_chars_mean"]) == (3.0, 2.0)
    assert row["instruction_chars_sd"] == pytest.approx(math.sqrt(2))


def test_data_statistics_counts_characters_not_bytes():
    row = data_statistics({"a": pairs(("é€😀", "x"))}).row(0, named=True)
    assert row["instruction_chars_mean"] == 3.0
    assert row["instruction_chars_sd"] is None


def test_data_statistics_of_nothing_are_null():
    frame = data_statistics({"empty": pairs(), "one": pairs(("a", "b")).lazy()})
    assert frame["n_examples"].to_list() == [0, 1]
    assert frame["output_chars_mean"].to_list() == [None, 1.0]
    assert data_statistics({}).columns == frame.columns


def test_data_statistics_name_the_data_set_that_lacks_a_column():
    with pytest.raises(ValueError, match=r"'seed'.*output"):
        data_statistics({"seed": pl.DataFrame({"instruction": ["a"]})})


def test_data_statistics_rows_fit_the_report_and_the_papers_columns():
    frame = data_statistics({"seed": pairs(("ab", "x"))})
    assert DataStatisticsRow(**frame.row(0, named=True)).n_examples == 1
    assert list(vars(PAPER_DATA_STATISTICS[0])) == frame.columns
