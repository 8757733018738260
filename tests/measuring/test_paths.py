"""Straightness and curvature of paths. Oracles: lines, arcs and parabolas, and that scale says nothing."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semcon.measuring.paths import path_curvature, straightness

N = 8


def points(of) -> torch.Tensor:
    """(N + 1, 1, D) from a function of t in [0, 1]."""
    return torch.tensor([of(step / N) for step in range(N + 1)], dtype=torch.float64)[:, None]


def test_an_even_line_is_straight_and_unbent():
    line = points(lambda t: (1 + 3 * t, 2 - t, 5.0))
    assert straightness(line).item() == pytest.approx(1)
    assert path_curvature(line).item() == pytest.approx(0, abs=1e-12)


def test_even_acceleration_from_rest_has_curvature_two():
    """z = t^2: the mean of |z''| is 2, that of |z'| is 1; second differences are exact for a parabola."""
    parabola = points(lambda t: (t * t, 2 * t * t))
    assert straightness(parabola).item() == pytest.approx(1)
    assert path_curvature(parabola).item() == pytest.approx(2)


def test_a_half_circle():
    """Chord 2, polygon 2 N sin(pi / 2N); |second difference| = 4 sin^2(pi / 2N), N times over the step's length."""
    arc = points(lambda t: (math.cos(math.pi * t), math.sin(math.pi * t)))
    step = 2 * math.sin(math.pi / (2 * N))
    assert straightness(arc).item() == pytest.approx(2 / (N * step))
    assert path_curvature(arc).item() == pytest.approx(N * step)


def test_there_and_back_is_as_bent_as_can_be():
    back = points(lambda t: (0.5 - abs(t - 0.5), 1.0))
    assert straightness(back).item() == pytest.approx(0, abs=1e-9)
    jump = points(lambda t: (float(t > 0.5), 1.0))
    assert path_curvature(jump).item() == pytest.approx(2 * N * N / (N - 1))


def test_a_path_that_stays_has_neither():
    still = points(lambda t: (1.0, 2.0 + 1e-9 * t))
    assert straightness(still).isnan().all()
    assert path_curvature(still).isnan().all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_scale_says_nothing_and_straightness_is_a_share(seed: int, factor: float):
    walk = torch.randn(N + 1, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).cumsum(0)
    for measure in (straightness, path_curvature):
        torch.testing.assert_close(measure(factor * walk), measure(walk))
    assert bool(((straightness(walk) >= 0) & (straightness(walk) <= 1)).all())
    assert bool((path_curvature(walk) <= 2 * N * N / (N - 1)).all())
