"""The mean corruption error and the mean flip rate: one side's errors over another's, corruption by corruption.

mCE = mean over corruptions of (sum over levels of the error) / (the same of the first side); mFR = mean over sequences
of the flip probability / (the first side's). The first side has 1. Source: Hendrycks and Dietterich, arXiv 1903.12261,
where the first side is AlexNet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from semcon.core.bootstrap import percentiles
from semcon.core.difference import OVERALL, Difference
from semcon.core.figures import Figures, Key
from semcon.core.flicker import QUANTITY as FLIPS
from semcon.core.intervals import Z
from semcon.core.seeds import seed_reach, widened
from semcon.report.numbers import words

Floats = npt.NDArray[np.float64]
MEAN_CORRUPTION_ERROR, MEAN_FLIP_RATE = "mean_corruption_error", "mean_flip_rate"
_Sums = Mapping[str, tuple[float, Floats]]  # by corruption: the sum over levels, and its resamples
LEFT_OUT = ("speckle_noise", "corruption_gaussian_blur", "spatter", "saturate")  # the four extra ones are not in mCE


def relative_errors(first: Sequence[Figures], second: Sequence[Figures]) -> tuple[Difference, ...]:
    """mCE and mFR of the second side, whose runs' figures these are; those that both sides have the figures for."""
    found = [
        _ratio(MEAN_CORRUPTION_ERROR, [_errors(run) for run in first], [_errors(run) for run in second], first[0]),
        _ratio(MEAN_FLIP_RATE, [_flips(run) for run in first], [_flips(run) for run in second], first[0]),
    ]
    return tuple(one for one in found if one is not None)


def _errors(run: Figures) -> _Sums:
    """1 - accuracy, summed over the levels of each corruption."""
    return _sums(run, lambda key: key.quantity == "accuracy" and key.perturbation not in LEFT_OUT, lambda v: 1 - v)


def _flips(run: Figures) -> _Sums:
    return _sums(run, lambda key: key.quantity == FLIPS, lambda v: v)


def _sums(run: Figures, wanted: Callable[[Key], bool], turned: Callable[[Floats], Floats]) -> _Sums:
    found: dict[str, tuple[float, Floats]] = {}
    for row, key in enumerate(run.keys):
        if key.perturbation is None or key.subset != "all" or not wanted(key):
            continue
        value, draws = found.get(key.perturbation, (0.0, np.zeros(run.draws.shape[1], np.float64)))
        more = turned(np.array([run.values[row]]))[0]
        found[key.perturbation] = value + float(more), draws + turned(run.draws[row].astype(np.float64))
    return found


def _ratio(quantity: str, first: Sequence[_Sums], second: Sequence[_Sums], like: Figures) -> Difference | None:
    """The mean over what both sides have, with its interval over images and seeds.

    What the first side makes no error under has no ratio and is left out, as `reason` says.
    """
    both = [name for name in first[0] if all(name in run for run in (*first, *second))]
    names = [name for name in both if sum(run[name][0] for run in first) > 0]
    if not both:
        return None
    without = ", ".join(words(name) for name in both if name not in names)
    reason = f"the first makes no error under {without}" if without else None
    if not names:
        return Difference(
            OVERALL, None, "random", None, None, quantity, "all", "ratio", first=1.0, second=None, difference=None,
            low=None, high=None, samples=int(like.samples.max()), seeds=(len(first), len(second)), reason=reason,
        )  # fmt: skip
    base = {name: (sum(run[name][0] for run in first) / len(first), _mean(first, name)) for name in names}
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (
            np.array([[sum(run[name][0] / base[name][0] for name in names) / len(names)] for run in side], np.float64)
            for side in (first, second)
        )
        ratios: Floats = np.stack([_mean(second, name) / base[name][1] for name in names])
    value = two.mean(axis=0)
    low, high = percentiles(
        ratios.mean(axis=0, keepdims=True)
    )  # resamples without an error to divide by keep their place at infinity
    if max(len(first), len(second)) > 1:
        reach = seed_reach(one, two)
        low, high = widened(value, low, high, reach)
    least = Z**2 / (float(like.clusters.max()) + Z**2)  # what a rate of no error may be, by Wilson's interval
    unseen = [least / base[name][0] for name in names if not sum(run[name][0] for run in second)]
    high = value + np.hypot(high - value, np.linalg.norm(unseen) / len(names))
    ends = [float(end[0]) - 1 if np.isfinite(end[0]) else None for end in (low, high)]
    return Difference(
        OVERALL, None, "random", None, None, quantity, "all", "ratio", first=1.0, second=float(value[0]),
        difference=float(value[0]) - 1, low=ends[0], high=ends[1], samples=int(like.samples.max()),
        seeds=(len(first), len(second)), reason=reason,
    )  # fmt: skip


def _mean(side: Sequence[_Sums], name: str) -> Floats:
    """The resamples of a side: the mean over its runs."""
    total = np.zeros_like(side[0][name][1])
    for run in side:
        total = total + run[name][1]
    return total / len(side)
