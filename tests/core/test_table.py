"""The table: a schema that is kept, one file, parts, and what a wrong file gets."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import clouds
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.table import SampleTable


def example(n: int = 12, *, labelled: bool = True, worst: bool = True) -> SampleTable:
    generator = np.random.default_rng(0)
    z = generator.normal(size=(n, 3))
    return clouds.table(
        z, np.arange(n) % 3 if labelled else None, {("noise", 0.5): np.abs(generator.normal(size=(n, 2)))}, worst=worst,
        critical={"noise": (np.where(np.arange(n) % 2, np.inf, 0.3), 1.0)},
    )  # fmt: skip


@pytest.mark.parametrize("labelled", [True, False])
def test_one_file_gives_the_same_table_back(tmp_path, labelled):
    """Invariant: save and load, nulls, order and gauges included."""
    table = example(labelled=labelled)
    table.save(tmp_path / "rows.parquet")
    again = SampleTable.load(tmp_path / "rows.parquet")
    assert_frame_equal(again.images, table.images)
    assert_frame_equal(again.rows, table.rows)
    assert again.gauges == table.gauges
    assert again.labelled == labelled


def test_anyone_can_read_the_file(tmp_path):
    """The documented layout: images are the rows without a perturbation."""
    example().save(tmp_path / "rows.parquet")
    frame = pl.read_parquet(tmp_path / "rows.parquet")
    assert frame.filter(pl.col("perturbation").is_null())["title"].to_list() == [f"image {i}" for i in range(12)]


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 11))
def test_parts_make_the_whole(cut):
    table = example()
    parts = [
        SampleTable(*(frame.filter(rule) for frame in (table.images, table.rows)), table.gauges)
        for rule in (pl.col("position") < cut, pl.col("position") >= cut)
    ]
    whole = SampleTable.concat(parts)
    assert_frame_equal(whole.images, table.images)
    keys = ["perturbation", "severity", "draws", "draw", "position"]
    assert_frame_equal(whole.rows.sort(keys), table.rows.sort(keys))


def test_the_joined_view_gives_a_row_its_image():
    """Oracle: a look-up by position."""
    table = example()
    joined = table.joined()
    assert len(joined) == len(table.rows)
    spreads = dict(zip(table.images["position"], table.images["logits.l2.spread"], strict=True))
    assert joined["logits.l2.spread"].to_list() == [spreads[position] for position in joined["position"]]
    assert {"clean_prediction", "clean_confidence", "sample", "label"} <= set(joined.columns)


def test_columns_that_only_some_tables_have(tmp_path):
    """They are kept where they are, checked, and missing nowhere else: a table without them is a table."""
    plain = example()
    images = plain.images.with_columns(input_curvature=pl.lit(2.0, dtype=pl.Float32))
    rows = plain.rows.with_columns(pl.lit(0.5, dtype=pl.Float32).alias("logits.straightness"))
    table = SampleTable(images, rows, plain.gauges)
    assert table.schemas[0] == SampleTable.image_schema(plain.gauges) | {"input_curvature": pl.Float32}
    assert plain.schemas == (SampleTable.image_schema(plain.gauges), SampleTable.row_schema(plain.gauges))
    table.save(tmp_path / "more.parquet")
    again = SampleTable.load(tmp_path / "more.parquet")
    assert_frame_equal(again.images, images)
    assert_frame_equal(again.rows, rows)
    with pytest.raises(SemconError, match=r"'logits.straightness' .* Float32, is Float64"):
        SampleTable(images, rows.with_columns(pl.col("logits.straightness").cast(pl.Float64)), plain.gauges)
    with pytest.raises(SemconError, match="different columns"):
        SampleTable.concat([table, SampleTable(plain.images.head(0), plain.rows.head(0), plain.gauges)])


def test_what_it_says_of_itself():
    table = example()
    assert table.perturbations == ["noise"]
    assert table.gauge("logits.l2").representation == "logits"
    with pytest.raises(UnknownNameError, match="Did you mean"):
        table.gauge("logit.l2")


def test_wrong_columns_and_parts_are_named():
    table = example()
    with pytest.raises(SemconError, match="'sample'"):
        SampleTable(table.images.drop("sample"), table.rows, table.gauges)
    with pytest.raises(SemconError, match=r"'severity' .* Float64, is Float32"):
        SampleTable(table.images, table.rows.with_columns(pl.col("severity").cast(pl.Float32)), table.gauges)
    with pytest.raises(SemconError, match="different gauges"):
        SampleTable.concat([table, SampleTable(table.images, table.rows, table.gauges[:1])])
    with pytest.raises(SemconError, match="same position"):
        SampleTable.concat([table, table])
    with pytest.raises(SemconError, match="at least one part"):
        SampleTable.concat([])


def test_wrong_files_are_named(tmp_path):
    """A missing file, no Parquet, someone else's Parquet, a truncated one."""
    with pytest.raises(SemconError, match=r"nothing\.parquet"):
        SampleTable.load(tmp_path / "nothing.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(SemconError, match=r"text\.parquet"):
        SampleTable.load(tmp_path / "text.parquet")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(SemconError, match="was not written by semcon"):
        SampleTable.load(tmp_path / "other.parquet")
    example().save(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(SemconError, match=r"half\.parquet"):
        SampleTable.load(tmp_path / "half.parquet")
