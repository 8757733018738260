"""Intervals over seeds above images. Oracles: scipy's t tests, closed forms, a simulation with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.test_coverage import at_least
from semcon.core.bootstrap import percentiles, poisson_weights
from semcon.core.intervals import Z
from semcon.core.seeds import seed_error, seed_p, seed_reach, widened

GENERATOR = np.random.default_rng(0)
N = 120  # images


def one(value):
    return np.array([value], np.float64)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_without_noise_of_images_it_is_students_paired_test(n):
    """Oracle: scipy.stats.ttest_rel, its p value and its interval."""
    a, b = GENERATOR.normal(size=(2, n, 1))
    known = stats.ttest_rel(b[:, 0], a[:, 0])
    value = (b - a).mean(axis=0)
    low, high = widened(value, value, value, seed_reach(a, b))
    bounds = known.confidence_interval()
    assert (low[0], high[0]) == pytest.approx((bounds.low, bounds.high))
    assert seed_p(value, one(0), *seed_error(a, b))[0] == pytest.approx(known.pvalue, rel=1e-6)


def test_with_other_numbers_of_seeds_it_is_welchs_test():
    """Oracle: scipy.stats.ttest_ind(equal_var=False); and one sample's t where a side is a single run."""
    a, b = GENERATOR.normal(size=(3, 1)), GENERATOR.normal(0.5, 2, size=(5, 1))
    known = stats.ttest_ind(b[:, 0], a[:, 0], equal_var=False)
    value = b.mean(axis=0) - a.mean(axis=0)
    error, freedom = seed_error(a, b)
    assert freedom[0] == pytest.approx(known.df)
    assert seed_p(value, one(0), error, freedom)[0] == pytest.approx(known.pvalue, rel=1e-6)
    fixed = np.array([[0.3]])
    alone = stats.ttest_1samp(b[:, 0], 0.3)
    assert seed_p(b.mean(axis=0) - 0.3, one(0), *seed_error(fixed, b))[0] == pytest.approx(alone.pvalue, rel=1e-6)


def test_single_runs_have_no_part_for_seeds():
    a, b = np.array([[0.1]]), np.array([[0.4]])
    assert seed_reach(a, b)[0] == 0
    assert widened(one(0.3), one(0.2), one(0.35), one(0)) == (pytest.approx(one(0.2)), pytest.approx(one(0.35)))
    p = seed_p(one(0.3), one(0.1), *seed_error(a, b))
    assert p[0] == pytest.approx(2 * stats.norm.sf(0.3 / (0.1 / Z)), rel=1e-6)


def test_equal_seeds_that_differ_by_nothing_settle_nothing():
    a = GENERATOR.normal(size=(3, 1))
    assert seed_reach(a, a)[0] == 0
    assert seed_p(one(0), one(0.1), *seed_error(a, a))[0] == 1


def test_the_p_value_falls_below_a_level_exactly_where_the_interval_leaves_out_0():
    a, b = GENERATOR.normal(size=(3, 200)), GENERATOR.normal(0.4, 1, size=(3, 200))
    value, half = (b - a).mean(axis=0), GENERATOR.random(200)
    low, high = widened(value, value - half, value + half, seed_reach(a, b))
    p = seed_p(value, half, *seed_error(a, b))
    assert (((low > 0) | (high < 0)) == (p < 0.05)).all()
    assert 0 < (p < 0.05).sum() < 200


def simulate(seeds: int, others: int, spread: float, repeats: int) -> dict[str, float]:
    """Shares of intervals that hold the true difference 0.1, ours and the hierarchical bootstrap's (seeds, images).

    Image i of side s and seed t: image effect, seed effect, and their interaction; paired seeds share some of theirs.
    """
    held = {"ours": 0, "bootstrap": 0}
    generator = np.random.default_rng(1000 * seeds + others)
    weights = poisson_weights(np.arange(N), 0, 600).astype(np.float64)
    for _ in range(repeats):
        image = generator.normal(size=(2, N)) * 0.7
        sides = []
        shared = generator.normal(size=max(seeds, others)) * spread * 0.5
        for side, n in enumerate((seeds, others)):
            seed = generator.normal(size=n) * spread + shared[:n]
            sides.append(0.1 * side + image[side] + seed[:, None] + generator.normal(size=(n, N)) * 0.5)
        means = [side.mean(axis=1, keepdims=True) for side in sides]
        value = means[1].mean(axis=0) - means[0].mean(axis=0)
        draws = [side @ weights / weights.sum(axis=0) for side in sides]
        low, high = percentiles((draws[1].mean(axis=0) - draws[0].mean(axis=0))[None])
        low, high = widened(value, low, high, seed_reach(means[0], means[1]))
        held["ours"] += low[0] <= 0.1 <= high[0]
        numbers = np.arange(600)
        picks = [generator.integers(0, n, (n, 600)) for n in (seeds, others)]
        if seeds == others:
            picks[1] = picks[0]
        resampled = [d[pick, numbers].mean(axis=0) for d, pick in zip(draws, picks, strict=True)]
        low, high = percentiles((resampled[1] - resampled[0])[None])
        held["bootstrap"] += low[0] <= 0.1 <= high[0]
    return {name: count / repeats for name, count in held.items()}


REPEATS = [pytest.param(300, id="fast"), pytest.param(3000, id="long", marks=pytest.mark.slow)]


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.5], ids=["no seed effect", "as large as the images'", "seeds only"])
@pytest.mark.parametrize(("seeds", "others"), [(2, 2), (3, 3), (5, 5), (3, 5), (2, 4)])
def test_intervals_over_few_seeds_and_images_cover(seeds, others, spread, repeats):
    """Never short of 0.95 by more than chance explains; wide where seeds have no effect at all."""
    assert at_least(0.95, repeats) <= simulate(seeds, others, spread, repeats)["ours"]


def test_resampling_three_seeds_covers_far_too_little():
    """Why the part for seeds is Student's."""
    held = simulate(3, 3, 0.5, 300)
    assert held["bootstrap"] < 0.85
    assert held["ours"] >= at_least(0.95, 300)
