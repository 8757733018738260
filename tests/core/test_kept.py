"""Accuracy kept: closed forms, and how often its interval holds the truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from semcon.core.intervals import difference_interval, ratio_interval, wilson
from semcon.core.kept import accuracy_kept
from semcon.core.table import SampleTable


def table(clean: np.ndarray, copy: np.ndarray) -> SampleTable:
    """Images that are right or wrong (N,) untouched and under a perturbation `p` at severity 1."""
    n = len(clean)
    images = {"position": range(n), "sample": range(10, n + 10), "label": [0] * n, "prediction": (~clean).astype(int)}
    rows = {"position": range(n), "prediction": (~copy).astype(int)}
    facts = {"perturbation": "p", "severity": 1.0, "draws": "random", "draw": 0}
    return SampleTable(
        _filled(pl.DataFrame(images), SampleTable.image_schema(())),
        _filled(
            pl.DataFrame(rows).with_columns(**{k: pl.lit(v) for k, v in facts.items()}), SampleTable.row_schema(())
        ),
        (),
    )


def _filled(frame: pl.DataFrame, schema: dict) -> pl.DataFrame:
    missing = [pl.lit(None).alias(name) for name in schema if name not in frame.columns]
    return frame.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in schema.items())


def test_the_share_is_the_ratio_of_both_accuracies() -> None:
    clean, copy = np.arange(200) < 160, np.arange(200) % 2 == 0
    (estimate,) = accuracy_kept(table(clean, copy))
    assert (estimate.perturbation, estimate.severity, estimate.statistic) == ("p", 1.0, "ratio")
    assert estimate.mean == pytest.approx(0.5 / 0.8)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 0.625 < estimate.high


def test_all_kept_is_known_better_than_either_accuracy() -> None:
    """The same images right: the errors of both accuracies are one error. Oracle: unpaired, +-0.1."""
    clean = np.arange(200) < 160
    (estimate,) = accuracy_kept(table(clean, clean))
    assert estimate.mean == 1
    assert 0.98 < (estimate.low or 0) <= 1 <= (estimate.high or 9) < 1.02


def test_nothing_kept_has_an_interval_all_the_same() -> None:
    (estimate,) = accuracy_kept(table(np.arange(200) < 160, np.zeros(200, bool)))
    assert estimate.mean == estimate.low == 0
    assert 0.01 < (estimate.high or 0) < 0.05


def test_a_model_that_is_never_right_keeps_nothing_that_is_known() -> None:
    (estimate,) = accuracy_kept(table(np.zeros(50, bool), np.arange(50) < 5))
    assert estimate.mean is estimate.low is estimate.high is None
    assert estimate.reason


def test_the_bounds_are_where_the_difference_may_be_0() -> None:
    """Oracle: Newcombe's interval of a - R b, with R b's ends R times those of b."""
    p, q, correlation = np.array([0.4]), np.array([0.7]), np.array([0.3])
    a, b = (p, *wilson(p, 100.0)), (q, *wilson(q, 100.0))
    low, high = ratio_interval(a, b, correlation)
    at_low = difference_interval(tuple(low * end for end in b), a, correlation)
    at_high = difference_interval(tuple(high * end for end in b), a, correlation)
    assert float(at_low[0][0]) == pytest.approx(0, abs=1e-9)
    assert float(at_high[1][0]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("repeats", [pytest.param(80, id="fast"), pytest.param(300, id="long", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("clean", "kept"), [(0.9, 0.5), (0.7, 0.95), (0.9, 0.02)])
def test_coverage(clean: float, kept: float, repeats: int) -> None:
    """Experiments of 150 images; a copy is right only where the image is. The band is 3 standard errors below 0.95."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(repeats):
        right = generator.random(150) < clean
        (estimate,) = accuracy_kept(table(right, right & (generator.random(150) < kept)))
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= kept <= estimate.high
    assert held / repeats >= 0.95 - 3 * (0.95 * 0.05 / repeats) ** 0.5
