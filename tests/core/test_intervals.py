"""Wilson's interval against its formula and scipy; the design effect against textbook cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from semcon.core.intervals import Z, correlation, difference_interval, effective_size, image_mean, wilson


@pytest.mark.parametrize(("events", "size"), [(0, 10), (1, 500), (8, 17), (359, 1000), (2000, 2000)])
def test_wilson_is_scipys(events, size):
    """Oracle: scipy.stats.binomtest(...).proportion_ci(method="wilson")."""
    expected = stats.binomtest(events, size).proportion_ci(method="wilson")
    low, high = wilson(events / size, float(size))
    assert float(low) == pytest.approx(expected.low, abs=1e-12)
    assert float(high) == pytest.approx(expected.high, abs=1e-12)


@given(st.floats(0.01, 0.99), st.floats(1, 1e6))
def test_wilson_bounds_solve_the_score_equation(rate, size):
    """Closed form: at both ends (rate - p) ** 2 = z ** 2 p (1 - p) / size, for fractional sizes too."""
    for bound in wilson(rate, size):
        p = float(bound)
        assert (rate - p) ** 2 == pytest.approx(Z**2 * p * (1 - p) / size, rel=1e-6, abs=1e-12)


def test_wilson_at_the_ends_is_closed_form():
    """Closed form: no event in n gives z^2 / (n + z^2)."""
    low, high = wilson(np.array([0.0, 1.0]), np.array([500.0, 500.0]))
    assert low.tolist() == pytest.approx([0, 500 / (500 + Z**2)])
    assert high.tolist() == pytest.approx([Z**2 / (500 + Z**2), 1])


def test_identical_draws_are_worth_one_and_independent_ones_are_worth_all():
    """Textbook (Kish): design effect 1 + (draws - 1) rho, for rho of 1 and 0; in between, in between."""
    rate, images, draws = 0.3, 500.0, 3
    for rho, size in ((1.0, 500.0), (0.0, 1500.0), (0.25, 1500 / 1.5)):
        variance = rate * (1 - rate) * (1 + (draws - 1) * rho) / (images * draws)
        found = effective_size(np.array([rate]), np.array([variance]), np.array([images]), np.array([images * draws]))
        assert found[0] == pytest.approx(size)


def test_effective_size_stays_between_images_and_rows():
    """Invariant, and the number of images where all observations agree."""
    arrays = [np.array(values) for values in ([0.5, 0.5, 0.0, 1.0], [1.0, 1e-9, 0.0, 0.0])]
    found = effective_size(*arrays, np.full(4, 100.0), np.full(4, 300.0))
    assert found.tolist() == [100, 300, 100, 100]
    shares = effective_size(*arrays, np.full(4, 100.0), np.full(4, np.inf))
    assert shares[0] == pytest.approx(0.25)
    assert shares[1] == pytest.approx(0.25e9)


def test_difference_of_independent_rates_is_newcombes_example():
    """Published: Newcombe (1998, unpaired), 56/70 against 48/80, Wilson hybrid: 0.2000 [0.0524, 0.3339]."""
    sides = [(np.array([k / n]), *wilson(np.array([k / n]), np.array([float(n)]))) for k, n in ((48, 80), (56, 70))]
    low, high = difference_interval(sides[0], sides[1], np.zeros(1))
    assert low[0] == pytest.approx(0.0524, abs=5e-5)
    assert high[0] == pytest.approx(0.3339, abs=5e-5)


def test_correlation_shortens_the_interval_and_no_events_do_not_make_it_vanish():
    """Invariants of the paired interval."""
    side = (np.array([0.3]), np.array([0.26]), np.array([0.34]))
    widths = [np.subtract(*difference_interval(side, side, np.array([rho]))[::-1])[0] for rho in (0.0, 0.5, 0.9)]
    assert widths[0] > widths[1] > widths[2] > 0
    none = (np.zeros(1), np.zeros(1), np.array([0.0076]))
    low, high = difference_interval(none, none, np.zeros(1))
    assert low[0] == pytest.approx(-0.0076)
    assert high[0] == pytest.approx(0.0076)


def test_the_error_of_a_mean_takes_equal_images_together() -> None:
    """Oracle: numpy's standard error where all differ; every value twice is as sure as once."""
    values, images = np.array([0.0, 1.0, 4.0, 5.0]), np.array([7, 8, 3, 9])
    mean, low, high = image_mean(values, images)
    assert mean == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(Z * values.std(ddof=1) / 4**0.5)
    assert image_mean(np.tile(values, 2), np.tile(images, 2)) == pytest.approx((mean, low, high))
    assert image_mean(values, np.array([7, 7, 3, 9]))[0] == pytest.approx(2.5)
    assert np.isnan(image_mean(values[:2], np.array([7, 7]))[1])


def test_a_correlation_leaves_out_the_draws_that_one_side_does_not_know() -> None:
    """Oracle: numpy's, of the others; one row beside many; nothing that moves is 0."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 3, 50))
    a[1, 7], b[2] = np.nan, 1.0
    known = np.arange(50) != 7
    expected = [np.corrcoef(a[0], b[0])[0, 1], np.corrcoef(a[1, known], b[1, known])[0, 1], 0.0]
    np.testing.assert_allclose(correlation(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(correlation(b[:2], b[:1])[0], 1.0)
