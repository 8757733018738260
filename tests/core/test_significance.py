"""Exact tests and Holm. Oracles: closed forms, scipy's and statsmodels' formulas written out, a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from semcon.core.significance import exact_sign_test, holm


def by_hand(b: int, c: int) -> float:
    """Twice the smaller binomial tail, at most 1: statsmodels' mcnemar(exact=True)."""
    n, k = b + c, min(b, c)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (0, 6), (6, 0), (3, 9), (12, 5), (40, 41), (100, 60)])
def test_the_exact_test_is_mcnemars_closed_form(b, c):
    assert exact_sign_test(b, c) == pytest.approx(by_hand(b, c), rel=1e-12)
    if b + c:
        assert exact_sign_test(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-12)


def test_it_agrees_with_the_chi_square_form_for_large_counts():
    """McNemar's asymptotic statistic with continuity correction, (|b - c| - 1)^2 / (b + c)."""
    b, c = 5200, 5000
    large = stats.chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1)
    assert exact_sign_test(b, c) == pytest.approx(large, rel=0.01)


@given(st.integers(0, 60), st.integers(0, 60))
def test_sides_can_be_exchanged(b, c):
    assert exact_sign_test(b, c) == exact_sign_test(c, b)


@pytest.mark.parametrize("draws", [1, 3])
def test_it_is_valid_where_the_draws_of_an_image_depend_on_each_other(draws):
    """Null by simulation: both models flip an image by its own rate. Rows tested as if independent are not valid."""
    generator = np.random.default_rng(0)
    clustered, rows = 0, 0
    repeats = 1000
    for _ in range(repeats):
        own = generator.beta(0.2, 0.4, (2, 80, 1))  # exchangeable models whose images have rates of their own
        a, b = generator.random((2, 80, draws)) < own
        net = b.sum(1).astype(int) - a.sum(1)
        clustered += exact_sign_test(int((net > 0).sum()), int((net < 0).sum())) < 0.05
        rows += exact_sign_test(int((b & ~a).sum()), int((a & ~b).sum())) < 0.05
    assert clustered / repeats <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)
    if draws > 1:
        assert rows / repeats > 0.09


def test_holm_by_hand():
    """Closed form: sorted 0.01, 0.02, 0.03, 0.2 times 4, 3, 2, 1, then never falling."""
    assert holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_by_its_definition(p):
    """Rejecting step by step at every level is the same as comparing the adjusted values with it."""
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for step, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[place] * (len(p) - step) > level:
                break
            rejected.add(place)
        assert rejected == {i for i, value in enumerate(adjusted) if value <= level}


def test_holm_holds_the_familywise_error():
    """Ten true nulls, half of them the same test: some false claim in at most 5 % of families."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(2000):
        p = generator.random(10)
        p[5:] = p[0]
        wrong += min(holm(p.tolist())) < 0.05
    assert wrong / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
