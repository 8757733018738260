"""mCE and mFR by hand."""

from __future__ import annotations

import numpy as np
import pytest

from semcon.comparing.corruption_error import relative_errors
from semcon.core.figures import Figures, Key

RESAMPLES = 400
LEAST = 3.841458820694124 / (500 + 3.841458820694124)  # the upper end of Wilson's interval of 0 of 500


def run(errors: dict[str, tuple[float, ...]], flips: dict[str, float], spread: float = 0.0, seed: int = 0) -> Figures:
    """Figures with an error for each corruption and level, and a flip probability for each sequence."""
    keys = [Key(c, float(level), "random", None, None, "accuracy", "all", "mean")
            for c, levels in errors.items() for level in range(1, len(levels) + 1)]  # fmt: skip
    keys += [Key(c, None, "random", None, None, "flip_probability", "all", "mean") for c in flips]
    values = np.array([1 - e for levels in errors.values() for e in levels] + list(flips.values()))
    noise = np.random.default_rng(seed).normal(size=(len(keys), RESAMPLES)) * spread
    n = len(keys)
    return Figures.of_means(keys, values, values[:, None] + noise, np.full(n, 500), np.full(n, 500.0), None)


BASE = {"fog": (0.2, 0.4), "snow": (0.1, 0.3)}


def test_by_hand():
    """(.3 + .3) / .6 = 1 and (.05 + .15) / .4 = .5: mCE .75; mFR the mean of .5 and 1.5."""
    first = run(BASE, {"rotation": 0.2, "scale": 0.1})
    second = run({"fog": (0.3, 0.3), "snow": (0.05, 0.15)}, {"rotation": 0.1, "scale": 0.15})
    mce, mfr = relative_errors([first], [second])
    assert (mce.quantity, mce.first) == ("mean_corruption_error", 1.0)
    assert mce.second == pytest.approx(0.75)
    assert mce.difference == pytest.approx(-0.25)
    assert mfr.second == pytest.approx(1.0)


def test_the_extra_ones_do_not_count():
    first = run(BASE | {"spatter": (0.1, 0.1)}, {})
    second = run(BASE | {"spatter": (0.9, 0.9)}, {})
    (mce,) = relative_errors([first], [second])
    assert mce.second == pytest.approx(1.0)


def test_a_side_against_itself_is_1_and_not_certain():
    """No image of 500 is judged otherwise: a share of 3.84 / 503.84 may be, at both levels, over the sums .6 and .4."""
    one = run(BASE, {"rotation": 0.2}, spread=0.02)
    for found, scale in zip(relative_errors([one], [one]), ((2 / 0.6 + 2 / 0.4) / 2, 1 / 0.2), strict=True):
        assert found.second == pytest.approx(1.0)
        assert (found.low, found.high) == pytest.approx((-LEAST * scale, LEAST * scale), rel=1e-4)


def test_seeds_widen_the_interval():
    """Two runs of the second side that differ: wider than over images alone, the mean in the middle."""
    first = run(BASE, {}, spread=0.01)
    near, far = (run({"fog": (0.2 * k, 0.4 * k), "snow": (0.1 * k, 0.3 * k)}, {}, spread=0.01) for k in (0.9, 1.3))
    (single,) = relative_errors([first], [near])
    (both,) = relative_errors([first], [near, far])
    assert both.second == pytest.approx(1.1)
    assert both.high - both.low > single.high - single.low


def test_what_seeds_do_to_the_divisor_counts_as_often_as_the_ratio() -> None:
    """Oracle: 3.5 times the relative error of the first side's three seeds, by Student."""
    level = {"frost": (0.18,)}, {"frost": (0.2,)}, {"frost": (0.22,)}
    first, second = [run(one, {}) for one in level], [run({"frost": (0.7,)}, {})]
    (found,) = (one for one in relative_errors(first, second) if one.quantity == "mean_corruption_error")
    alone = next(one for one in relative_errors(first[1:2], second) if one.quantity == "mean_corruption_error")
    assert found.difference == pytest.approx(2.5)
    reach = 3.5 * 0.1 / 3**0.5 * 4.302653
    upper, over_images = (float((one.high or 0) - (one.difference or 0)) for one in (found, alone))
    assert upper**2 == pytest.approx(over_images**2 + reach**2, rel=0.02)


def test_without_errors_to_divide_by_there_is_no_figure():
    """All of them: null with the reason. Some: the mean over the others, and the reason names them."""
    perfect, other = run({"fog": (0.0, 0.0)}, {"rotation": 0.0}), run({"fog": (0.1, 0.1)}, {"rotation": 0.1})
    told = ("the first makes no error under fog", "the first makes no flip under rotation")
    for found, why in zip(relative_errors([perfect], [other]), told, strict=True):
        assert (found.second, found.low, found.high) == (None, None, None)
        assert found.reason == why
    first, second = run({"fog": (0.0, 0.0), "snow": (0.1, 0.3)}, {}), run({"fog": (0.1, 0.1), "snow": (0.1, 0.1)}, {})
    (found,) = relative_errors([first], [second])
    assert found.second == pytest.approx(0.5)
    assert "no error under fog" in found.reason


def test_no_error_at_all_is_not_certain_to_be_none():
    """500 images without an error may hide a rate of 3.84 / 503.84 at each of two levels, over the sum of .4."""
    (found,) = relative_errors(
        [run(BASE, {}, spread=0.001)], [run({"fog": (0.3, 0.3), "snow": (0.0, 0.0)}, {}, spread=0.0)]
    )
    assert found.difference == pytest.approx(-0.5)
    assert found.high > -0.5 + LEAST * 2 / 0.4 / 2 * 0.99
    (none,) = relative_errors([run(BASE, {})], [run({"fog": (0.0, 0.0), "snow": (0.0, 0.0)}, {})])
    assert (none.difference, none.low) == (-1.0, -1.0)  # no ratio is below 0
    assert none.high == pytest.approx(-1 + LEAST * (2 / 0.6 + 2 / 0.4) / 2)


def test_no_flip_at_all_is_not_certain_to_be_none():
    """The same of sequences, which have one level."""
    _, found = relative_errors([run(BASE, {"hue": 0.1})], [run(BASE, {"hue": 0.0})])
    assert (found.second, found.low) == (0.0, -1.0)
    assert found.high == pytest.approx(-1 + LEAST / 0.1)


def test_what_only_one_side_has_is_named():
    first, second = run(BASE | {"frost": (0.5,)}, {}), run(BASE | {"jpeg": (0.5,)}, {})
    (found,) = relative_errors([first], [second])
    assert found.second == pytest.approx(1.0)
    assert found.reason == "only one side has frost, jpeg"


def test_few_errors_to_divide_by_leave_no_upper_end():
    """A tenth of the resamples of the first have no error under fog: the ratio has no upper end, and says why."""
    first, second = run({"fog": (0.01,), "snow": (0.3,)}, {}, spread=0.001), run({"fog": (0.1,), "snow": (0.3,)}, {})
    first.draws[0, : RESAMPLES // 10] = 1.0
    (found,) = relative_errors([first], [second])
    assert found.second == pytest.approx(5.5)
    assert found.high is None
    assert found.low is not None
    assert found.reason == "the first makes too few errors under fog for an upper end"
