"""mCE and mFR by hand."""

from __future__ import annotations

import numpy as np
import pytest

from semcon.comparing.corruption_error import relative_errors
from semcon.core.figures import Figures, Key

RESAMPLES = 400


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
    assert mce.low == pytest.approx(-0.25)
    assert mfr.second == pytest.approx(1.0)


def test_the_extra_ones_do_not_count():
    first = run(BASE | {"spatter": (0.1, 0.1)}, {})
    second = run(BASE | {"spatter": (0.9, 0.9)}, {})
    (mce,) = relative_errors([first], [second])
    assert mce.second == pytest.approx(1.0)


def test_a_side_against_itself_is_exactly_1():
    one = run(BASE, {"rotation": 0.2}, spread=0.02)
    for found in relative_errors([one], [one]):
        assert (found.second, found.low, found.high) == (1.0, 0.0, 0.0)


def test_seeds_widen_the_interval():
    """Two runs of the second side that differ: wider than over images alone, the mean in the middle."""
    first = run(BASE, {}, spread=0.01)
    near, far = (run({"fog": (0.2 * k, 0.4 * k), "snow": (0.1 * k, 0.3 * k)}, {}, spread=0.01) for k in (0.9, 1.3))
    (single,) = relative_errors([first], [near])
    (both,) = relative_errors([first], [near, far])
    assert both.second == pytest.approx(1.1)
    assert both.high - both.low > single.high - single.low


def test_without_errors_to_divide_by_there_is_no_figure():
    """All of them: null with the reason. Some: the mean over the others, and the reason names them."""
    perfect, other = run({"fog": (0.0, 0.0)}, {"rotation": 0.0}), run({"fog": (0.1, 0.1)}, {"rotation": 0.1})
    for found, name in zip(relative_errors([perfect], [other]), ("fog", "rotation"), strict=True):
        assert (found.second, found.low, found.high) == (None, None, None)
        assert f"no error under {name}" in found.reason
    first, second = run({"fog": (0.0, 0.0), "snow": (0.1, 0.3)}, {}), run({"fog": (0.1, 0.1), "snow": (0.1, 0.1)}, {})
    (found,) = relative_errors([first], [second])
    assert found.second == pytest.approx(0.5)
    assert "no error under fog" in found.reason


def test_no_error_at_all_is_not_certain_to_be_none():
    """500 images without an error may hide a rate of 3.84 / 503.84, over .4 in the one of two corruptions."""
    (found,) = relative_errors([run(BASE, {})], [run({"fog": (0.3, 0.3), "snow": (0.0, 0.0)}, {})])
    assert found.difference == pytest.approx(-0.5)
    assert found.low == pytest.approx(-0.5)
    assert found.high == pytest.approx(-0.5 + 3.8415 / 503.8415 / 0.4 / 2, rel=1e-3)
