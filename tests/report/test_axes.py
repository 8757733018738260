"""Scales and ticks. Oracle: invariants of a linear map; ticks are multiples of 1, 2, 2.5 or 5 times a power of ten."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcon.report.axes import Scale, round_up, ticks

positive = st.floats(1e-6, 1e6)


@given(positive, st.integers(2, 6))
def test_ticks_are_round_evenly_spaced_and_inside(high: float, most: int) -> None:
    found = ticks(high, most)
    assert found[0] == 0
    assert found[-1] <= high * (1 + 1e-6)
    assert 2 <= len(found) <= most + 1
    size = found[1]
    mantissa = size / 10 ** math.floor(math.log10(size) + 1e-9)
    assert any(mantissa == pytest.approx(round_, rel=1e-6) for round_ in (1, 2, 2.5, 5, 10))
    assert all(b - a == pytest.approx(size, rel=1e-6) for a, b in itertools.pairwise(found))


@given(positive)
def test_the_top_of_an_axis_is_at_or_a_little_above(value: float) -> None:
    assert value * (1 - 1e-9) <= round_up(value) <= 1.5 * value


def test_nothing_to_show_still_has_an_axis() -> None:
    assert (ticks(0.0), round_up(0.0)) == ([0.0], 1.0)


def test_a_scale_is_linear_and_stays_inside() -> None:
    scale = Scale(0, 2, 100, 0)
    assert [scale(value) for value in (0, 0.5, 2, 3, -1)] == [100, 75, 0, 0, 100]
