"""The chance of at least one nearer among 20: exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from semcon.core.nearest import Chances, any_nearer


@given(st.integers(20, 1300), st.floats(0, 1))
def test_it_is_the_hypergeometric_chance(others, share):
    """Oracle: scipy.stats.hypergeom, 1 - P(no nearer one among 20)."""
    nearer = round(share * others)
    expected = 1 - stats.hypergeom(others, nearer, 20).pmf(0)
    assert float(any_nearer(np.array([nearer]), np.array([others]))[0]) == pytest.approx(expected, abs=1e-9)


def test_ends_are_exact_and_fewer_than_twenty_are_undefined():
    """Closed forms: 0 for none; 1 for more than others - 20; 20 / n for one of n."""
    found = any_nearer(np.array([0, 1, 81, 100, 3, np.nan]), np.array([100, 100, 100, 100, 19, 50]))
    assert found[:4].tolist() == pytest.approx([0, 0.2, 1, 1], abs=1e-12)
    assert found[0] == 0
    assert math.isnan(found[4])
    assert math.isnan(found[5])


def test_the_table_says_the_same():
    """Oracle: `any_nearer` row by row."""
    generator = np.random.default_rng(0)
    others = np.array([127, 126, 40, np.nan, 5])
    image = generator.integers(0, 5, 200)
    nearer = np.floor(generator.random(200) * np.nan_to_num(others[image]))
    nearer[::17] = np.nan
    nearer[::19] = 500  # more than there are
    np.testing.assert_array_equal(Chances.of(others)(nearer, image), any_nearer(nearer, others[image]))
