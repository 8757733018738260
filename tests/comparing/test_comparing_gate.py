"""Gates on differences. Oracles: the intervals themselves, and closed forms for the images that would settle it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pairs import CHANGES, FLIPS, MORE_FLIPS, OTHER, WRONG, N
from semcon import gate
from semcon.comparing import gate as difference_gate
from semcon.comparing.compare import side_by_side
from semcon.core.difference import Difference
from semcon.core.errors import SemconError, UnknownNameError


@pytest.fixture
def together(make):
    """20 and 60 flips of 200 images, no and 8 mistakes."""
    many = {key: np.arange(N)[:, None] < 60 for key in CHANGES}
    return side_by_side([make("a", flips=FLIPS), make("b", OTHER, flips=many, wrong=WRONG)])


@pytest.mark.parametrize(
    ("rule", "states"),
    [
        ("gaussian_noise:0.05 flip > 0", ["failed"]),
        ("gaussian_noise:0.05 flip > 0.2", ["undecided"]),
        ("gaussian_noise:0.05 flip > 0.4", ["passed"]),
        ("gaussian_noise flip > 0", ["failed", "failed"]),
        ("noise flip > 0", ["failed"]),
        ("noise flip < 0", ["passed"]),
        ("accuracy < 0", ["failed"]),
        ("accuracy < -0.04", ["undecided"]),
        ("accuracy < -0.2", ["passed"]),
        ("gaussian_noise:0.05 relative_change > 0", ["failed"]),
    ],
)
def test_a_rule_fails_only_where_the_whole_interval_of_the_difference_lies_beyond(together, rule, states):
    results = difference_gate.judge(together, [difference_gate.parse(rule)])
    assert [result.state for result in results] == states
    assert {result.run for result in results} == {"b minus a"}
    code = {"failed": 1, "undecided": 3, "passed": 0}[states[0]]
    assert gate.exit_code(results) == code


def test_every_side_is_judged_against_the_first(make):
    sides = [make("a", flips=FLIPS), make("b", flips=FLIPS), make("c", flips=MORE_FLIPS)]
    results = difference_gate.judge(side_by_side(sides), [difference_gate.parse("gaussian_noise:0.05 flip > 0.01")])
    assert [(result.run, result.state) for result in results] == [("b minus a", "undecided"), ("c minus a", "failed")]


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        ("hue flip > 0", UnknownNameError, "in both runs there is no 'hue'"),
        ("geometry flip > 0", UnknownNameError, "geometry"),
        ("gausian_noise flip > 0", UnknownNameError, "Did you mean gaussian_noise"),
        ("gaussian_noise:0.07 flip > 0", SemconError, "at 0.05, 0.1"),
        ("gaussian_noise worst flip > 0", SemconError, "speaks of nothing in both runs: it has no worst cases"),
        ("gaussian_noise relative_change[layer9.l2] > 0", UnknownNameError, "layer9.l2"),
        ("flip > 0", SemconError, "name a perturbation, such as 'gaussian_noise flip > 0'"),
        ("mean_flip_rate > 1", SemconError, "needs the evaluation corruption with --budget standard of both"),
    ],
)
def test_rules_that_speak_of_nothing_are_refused(together, rule, error, words):
    with pytest.raises(error, match=words):
        difference_gate.judge(together, [difference_gate.parse(rule)])


def difference(**changes):
    plain = Difference("hue", 0.1, "random", None, None, "flip", "all", "mean", 0.2, 0.25, 0.05, -0.05, 0.15, 400)
    return dataclasses.replace(plain, **changes)


def test_images_that_would_settle_it():
    """Closed form: half of the width takes four times as many; a part for seeds does not shrink."""
    assert difference_gate.images_needed(difference(), 0.0) == 1600
    reach, half = 0.03, math.hypot(0.08, 0.03)
    seeds = difference(low=0.05 - half, high=0.05 + half, seed_reach=reach, seeds=(3, 3))
    wanted = difference_gate.images_needed(seeds, 0.0)
    assert math.hypot(0.08 * math.sqrt(400 / wanted), reach) == pytest.approx(0.05, rel=1e-3)
    assert difference_gate.images_needed(difference(seed_reach=0.06), 0.0) is None
    assert difference_gate.images_needed(difference(), 0.05) is None


def test_where_seeds_decide_more_seeds_are_advised(make):
    sides = [
        [make(f"{side}{seed}", flips={key: np.arange(N)[:, None] < count for key in CHANGES})
         for seed, count in enumerate(counts)]
        for side, counts in (("a", (20, 40)), ("b", (40, 30)))
    ]  # fmt: skip
    (result,) = difference_gate.judge(side_by_side(sides), [difference_gate.parse("gaussian_noise:0.05 flip > 0")])
    assert result.state == "undecided"
    assert "2 and 2 runs; more images alone would not settle it" in result.sentence


def test_a_critical_severity_that_went_beyond_the_ladder_can_be_judged(make):
    early, late = np.linspace(0.01, 0.06, N), np.where(np.arange(N) < 20, 0.05, np.inf)
    runs = [make(n, critical={"gaussian_noise": (t, 0.1)}) for n, t in (("a", early), ("b", late))]
    together = side_by_side(runs)
    states = {}
    for rule in ("< 0", "> 0.01", "< 0.2", "> 0.5"):
        (result,) = difference_gate.judge(together, [difference_gate.parse(f"gaussian_noise critical_severity {rule}")])
        states[rule] = result.state
    assert states == {"< 0": "passed", "> 0.01": "failed", "< 0.2": "undecided", "> 0.5": "undecided"}


@pytest.mark.parametrize(("ends", "state"), [((0.2, None), "failed"), ((-0.2, None), "undecided")])
def test_a_relative_error_without_an_upper_end_can_be_judged(together, ends, state):
    """1.5 [1.2, not known] is above 1."""
    ratio = difference(perturbation="all", severity=None, quantity="mean_corruption_error", statistic="ratio",
                       first=1.0, second=1.5, difference=0.5, low=ends[0], high=ends[1])  # fmt: skip
    pair = dataclasses.replace(together.comparisons[0], overall=(ratio,))
    (result,) = difference_gate.judge(
        dataclasses.replace(together, comparisons=(pair,)), [difference_gate.parse("mean_corruption_error > 1")]
    )
    assert result.state == state
