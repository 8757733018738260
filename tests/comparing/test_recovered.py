"""Differences of figures that have an interval and no resamples. Oracles: the rule by hand, and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semcon.comparing.recovered import recovered
from semcon.core.record import Estimate

FOLLOWS = {"perturbation": "colour_of_another", "severity": 1.0, "quantity": "follows", "subset": "all"}


def told(mean: float | None, low: float | None = None, high: float | None = None, **fields: object) -> Estimate:
    return Estimate(**{
        "perturbation": None, "severity": None, "draws": "random", "representation": None, "distance": None,
        "quantity": "accuracy_gap", "subset": "groups:sex", "statistic": "mean", "mean": mean, "low": low, "high": high,
        "samples": 100, "reason": None if mean is not None else "too few images", **fields,
    })  # fmt: skip


def test_the_rule_of_squares_by_hand():
    """From .5 [.4, .7] to .2 [.1, .25]: -.3 less sqrt(.1^2 + .2^2), and more sqrt(.05^2 + .1^2); of gaps their sums."""
    sides = (
        [[told(0.5, 0.4, 0.7), told(0.5, 0.4, 0.7, **FOLLOWS)]],
        [[told(0.2, 0.1, 0.25, samples=80), told(0.2, 0.1, 0.25, samples=80, **FOLLOWS)]],
    )
    gap, followed = recovered(*sides)
    for one in (gap, followed):
        assert (one.first, one.second, one.samples, one.seeds) == (0.5, 0.2, 80, (1, 1))
    expected = (-0.3, -0.3 - math.hypot(0.1, 0.2), -0.3 + math.hypot(0.05, 0.1))
    assert (followed.difference, followed.low, followed.high) == pytest.approx(expected)
    assert (gap.difference, gap.low, gap.high) == pytest.approx((-0.3, -0.6, -0.15))


def test_what_one_does_not_know_has_a_reason_and_other_figures_are_left_alone():
    (one,) = recovered([[told(0.5, 0.4, 0.7), told(0.1, quantity="flip")]], [[told(None), told(0.1, quantity="flip")]])
    assert (one.first, one.second, one.difference, one.low, one.high) == (0.5, None, None, None, None)
    assert one.reason == "too few images"
    assert not list(recovered([[told(0.5, 0.4, 0.7)]], [[told(0.2, 0.1, 0.3, subset="groups:age")]]))


def test_seeds_widen_it():
    """Means of the runs; the seeds' part is Student's, t(0.975, 2) = 4.303 times the error of three differences."""
    first = [[told(m, m - 0.1, m + 0.1)] for m in (0.5, 0.5, 0.5)]
    second = [[told(m, m - 0.1, m + 0.1)] for m in (0.1, 0.2, 0.3)]
    (one,) = recovered(first, second)
    reach = 4.30265 * 0.1 / math.sqrt(3)
    assert one.difference == pytest.approx(-0.3)
    assert one.seed_reach == pytest.approx(reach, rel=1e-4)
    assert one.high == pytest.approx(-0.3 + math.hypot(0.2, reach), rel=1e-4)


@pytest.mark.parametrize(("of_a_gap", "correlation"), [(False, 0), (True, -1)])
def test_it_holds_the_difference_as_often_as_promised(of_a_gap: bool, correlation: float):
    """Normals with their z intervals, of gaps in the worst case, which err against each other: 95 % of 4000."""
    rng, held = np.random.default_rng(0), 0
    fields = {} if of_a_gap else FOLLOWS
    for noise, other in rng.normal(size=(4000, 2)):
        first, second = 0.5 + 0.05 * noise, 0.2 + 0.1 * (correlation * noise if correlation else other)
        (one,) = recovered(
            [[told(first, first - 1.96 * 0.05, first + 1.96 * 0.05, **fields)]],
            [[told(second, second - 1.96 * 0.1, second + 1.96 * 0.1, **fields)]],
        )
        held += one.low <= -0.3 <= one.high
    assert abs(held / 4000 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 4000)
