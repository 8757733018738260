"""Kaplan-Meier against a textbook, a loop, and plain medians."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcon.core.bootstrap import Weights
from semcon.core.survival import medians, resampled_medians, survival

# Freireich et al. (1963), 6-MP arm, as in Kleinbaum and Klein, Survival Analysis, table 1.1; + is censored.
TIMES = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], float)
OBSERVED = np.arange(21) < 9


def loop(times, observed, weights):
    """The definition: at each event time, times (1 - deaths / at risk); the first time at most half remain."""
    remaining, curve = 1.0, {}
    for t in sorted(set(times[observed & (weights > 0)].tolist())):
        at_risk = sum(w for s, w in zip(times, weights, strict=True) if s >= t)
        deaths = sum(w for s, w, o in zip(times, weights, observed, strict=True) if s == t and o)
        remaining *= 1 - deaths / at_risk
        curve[t] = remaining
    median = next((t for t, left in curve.items() if left <= 0.5 + 1e-9), math.inf)
    return curve, median if weights.sum() else math.nan


def test_the_textbook_example():
    """Published: the shares beyond 6, 7, 10, 13, 16, 22 and 23 weeks, and the median of 23."""
    times, remaining = survival(TIMES, OBSERVED, np.ones(21))
    at = {t: remaining[np.flatnonzero(times <= t)[-1]] for t in (6, 7, 10, 13, 16, 22, 23)}
    assert list(at.values()) == pytest.approx([0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=5e-5)
    assert medians(TIMES, OBSERVED, np.ones(21)) == 23


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25))
def test_curves_and_medians_equal_a_loop(rows):
    """Oracle: the loop above, with ties, censoring anywhere and weights of 0."""
    times, observed, weights = (np.array(column) for column in zip(*rows, strict=True))
    curve, median = loop(times.astype(float), observed, weights)
    assert medians(times.astype(float), observed, weights) == pytest.approx(median, nan_ok=True)
    ordered, remaining = survival(times.astype(float), observed, weights)
    for t, left in curve.items():
        assert remaining[np.flatnonzero(ordered <= t)[-1]] == pytest.approx(left)


@pytest.mark.parametrize("censoring", ["none", "after", "anywhere", "all"])
def test_resampled_medians_equal_the_loop_in_every_resample(censoring):
    """Oracle: the loop above, for the quick way (nobody censored before the median) and the general one."""
    generator = np.random.default_rng(4)
    times = generator.exponential(size=60).round(1)
    observed = {
        "none": np.ones(60, bool), "after": times < 1.0, "anywhere": generator.random(60) < 0.6,
        "all": np.zeros(60, bool),
    }[censoring]  # fmt: skip
    if censoring == "after":
        times = np.minimum(times, 1.0)
    weights = Weights.of(generator.integers(0, 2**62, 80), resamples=40)
    index = generator.permutation(80)[:60]
    value, draws = resampled_medians(times, observed, weights, index)
    assert value == loop(times, observed, np.ones(60))[1]
    expected = [loop(times, observed, weights.counts[index, r].astype(int))[1] for r in range(40)]
    assert draws.tolist() == expected


def test_without_censoring_it_is_the_weighted_lower_median():
    """Oracle: numpy's inverted-CDF quantile with weights."""
    generator = np.random.default_rng(5)
    values, weights = generator.normal(size=99), generator.integers(0, 4, 99)
    expected = np.quantile(values, 0.5, method="inverted_cdf", weights=weights)
    assert medians(values, np.ones(99, bool), weights) == expected


def test_no_images_give_no_median():
    value, draws = resampled_medians(np.zeros(0), np.zeros(0, bool), Weights.of(np.arange(3)), np.zeros(0, np.int64))
    assert math.isnan(value)
    assert np.isnan(draws).all()
