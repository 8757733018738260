"""Figures of slopes and paths. Oracles: numpy over the rows; other figures stay as they are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import clouds
from semcon.core.record import Estimate
from semcon.core.summary import summarise
from semcon.core.table import SampleTable

N = 41
PATH = "logits.straightness"


def example() -> SampleTable:
    """Two draws of a path, two balls, one image without a curvature and one whose output does not move."""
    generator = np.random.default_rng(0)
    z, labels = clouds.clusters(generator, N)
    plain = clouds.table(z, labels, {("blur", 4.0): np.abs(generator.normal(size=(N, 2)))}, gauges=())
    bend = pl.Series(generator.random(N), dtype=pl.Float32).scatter(0, None)
    straight = pl.Series(generator.random(2 * N), dtype=pl.Float32).scatter([3, N + 3], None)
    rows = plain.rows.with_columns(straight.alias(PATH), lipschitz=pl.lit(None, dtype=pl.Float32))
    steep = pl.concat([
        plain.rows.head(N).with_columns(
            pl.lit(None, dtype=pl.Float32).alias(PATH),
            perturbation=pl.lit("l2"), severity=pl.lit(radius), draws=pl.lit("worst_slope"),
            lipschitz=pl.Series(generator.random(N), dtype=pl.Float32),
        )
        for radius in (32.0, 128.0)
    ])  # fmt: skip
    images = plain.images.with_columns(input_curvature=bend)
    return SampleTable(images, pl.concat([rows, steep]), ())


def one(estimates: list[Estimate], quantity: str, **wanted: object) -> Estimate:
    (found,) = [
        e for e in estimates
        if (e.quantity, e.subset) == (quantity, "all") and all(getattr(e, key) == wanted[key] for key in wanted)
    ]  # fmt: skip
    return found


def test_curvature_and_steepest_chords_are_medians():
    table = example()
    estimates = summarise(table)
    curvature = one(estimates, "input_curvature")
    values = table.images["input_curvature"].drop_nulls().to_numpy()
    assert curvature.mean == np.quantile(values, 0.5, method="inverted_cdf")
    assert (curvature.statistic, curvature.samples, curvature.perturbation) == ("median", N - 1, None)
    for radius in (32.0, 128.0):
        lipschitz = one(estimates, "lipschitz", severity=radius)
        rows = table.rows.filter((pl.col("perturbation") == "l2") & (pl.col("severity") == radius))
        assert lipschitz.mean == np.quantile(rows["lipschitz"].to_numpy(), 0.5, method="inverted_cdf")
        assert (lipschitz.draws, lipschitz.statistic, lipschitz.perturbation) == ("worst", "median", "l2")
        assert lipschitz.censored is None


def test_paths_are_means_over_the_draws_of_the_images_that_move():
    table = example()
    found = one(summarise(table), "straightness")
    rows = table.rows.filter(pl.col("perturbation") == "blur")
    values = rows.group_by("position").agg(pl.col(PATH).mean())[PATH].drop_nulls()
    assert found.mean == pytest.approx(values.mean(), rel=1e-6)
    assert (found.samples, found.severity, found.statistic, found.representation) == (N - 1, 4.0, "mean", "logits")
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.mean < found.high < 1


def test_copies_that_end_steepest_chords_are_no_cells():
    """They were searched for their slope: how often they flip is no worst case of flips."""
    estimates = summarise(example())
    assert {e.quantity for e in estimates if e.perturbation == "l2"} == {"lipschitz"}
    assert {e.quantity for e in estimates if e.perturbation == "blur"} == {
        "flip", "accuracy", "confidence_drop", "straightness"
    }  # fmt: skip


def test_tables_without_these_columns_have_no_such_figures():
    table = example()
    plain = SampleTable(table.images.drop("input_curvature"), table.rows.drop(PATH, "lipschitz"), table.gauges)
    left = [e for e in summarise(table) if e.quantity not in ("input_curvature", "straightness", "lipschitz")]
    assert summarise(plain) == left
