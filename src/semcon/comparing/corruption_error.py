"""The mean corruption error and the mean flip rate: one side's errors over another's, corruption by corruption.

mCE = mean over corruptions of (sum over levels of the error) / (the same of the first side); mFR = mean over sequences
of the flip probability / (the first side's). The first side has 1. Source: Hendrycks and Dietterich, arXiv 1903.12261,
where the first side is AlexNet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from semcon.core.bootstrap import percentiles
from semcon.core.difference import OVERALL, Difference
from semcon.core.figures import Figures, Key
from semcon.core.intervals import Z
from semcon.core.quantities import FLIP_PROBABILITY, MEAN_CORRUPTION_ERROR, MEAN_FLIP_RATE
from semcon.core.seeds import seed_reach, widened
from semcon.report.numbers import words

Floats = npt.NDArray[np.float64]
LEFT_OUT = ("speckle_noise", "corruption_gaussian_blur", "spatter", "saturate")  # the four extra ones are not in mCE


@dataclass(frozen=True)
class _Sum:
    """A share summed over the `levels` of a corruption: `value`, and its resamples `draws` (resamples,)."""

    value: float
    draws: Floats
    levels: int


_Sums = Mapping[str, _Sum]  # by corruption


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
    return _sums(run, lambda key: key.quantity == FLIP_PROBABILITY, lambda v: v)


def _sums(run: Figures, wanted: Callable[[Key], bool], turned: Callable[[Floats], Floats]) -> _Sums:
    found: dict[str, list[int]] = {}
    for row, key in enumerate(run.keys):
        if key.perturbation is not None and key.subset == "all" and wanted(key):
            found.setdefault(key.perturbation, []).append(row)
    return {
        name: _Sum(
            float(turned(run.values[rows]).sum()), turned(run.draws[rows].astype(np.float64)).sum(axis=0), len(rows)
        )
        for name, rows in found.items()
    }


def _ratio(quantity: str, first: Sequence[_Sums], second: Sequence[_Sums], like: Figures) -> Difference | None:
    """The mean over what both sides have, with its interval over images and seeds.

    What the first side makes no error under has no ratio and is left out, as is what one side lacks; `reason` says so.
    """
    every = dict.fromkeys(name for run in (*first, *second) for name in run)
    both = [name for name in every if all(name in run for run in (*first, *second))]
    names = [name for name in both if sum(run[name].value for run in first) > 0]
    if not both:
        return None
    event = "error" if quantity == MEAN_CORRUPTION_ERROR else "flip"
    reasons = [f"the first makes no {event} under {_listed(name for name in both if name not in names)}"] * (
        len(names) < len(both)
    )
    reasons += [f"only one side has {_listed(name for name in every if name not in both)}"] * (len(both) < len(every))
    found = Difference(
        OVERALL, None, "random", None, None, quantity, "all", "ratio", first=1.0, second=None, difference=None,
        low=None, high=None, samples=int(like.samples.max()), seeds=(len(first), len(second)),
        reason="; ".join(reasons) or None,
    )  # fmt: skip
    if not names:
        return found
    base = {name: sum(run[name].value for run in first) / len(first) for name in names}
    two = np.array([[sum(run[name].value / base[name] for name in names) / len(names)] for run in second])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = np.stack([_mean(second, name) / _mean(first, name) for name in names])
    value = float(two.mean())
    low, high = _over_images(
        ratios, value, _unseen(ratios, [first[0][name].levels / base[name] for name in names], like)
    )
    if max(len(first), len(second)) > 1:
        scale = {name: sum(run[name].value for run in second) / len(second) / base[name] ** 2 for name in names}
        one = np.array([[sum(run[name].value * scale[name] for name in names) / len(names)] for run in first])
        reach = seed_reach(one, two)
        low, high = widened(np.array([value]), low, high, reach)
    ends = [float(end[0]) - 1 if np.isfinite(end[0]) else None for end in (low, high)]
    if ends[1] is None:
        few = [name for name, ratio in zip(names, ratios, strict=True) if not np.isfinite(ratio).all()]
        reasons.append(f"the first makes too few {event}s under {_listed(few)} for an upper end")
    return replace(
        found, second=value, difference=value - 1, low=ends[0], high=ends[1], reason="; ".join(reasons) or None
    )


def _over_images(ratios: Floats, value: float, unseen: float) -> tuple[Floats, Floats]:
    """The interval over images: (1,), (1,). No ratio is below 0; without an error to divide by it is infinite."""
    low, high = percentiles(ratios.mean(axis=0, keepdims=True))
    low, high = np.fmin(low, value), np.fmax(high, value)
    return np.maximum(value - np.hypot(value - low, unseen), 0), value + np.hypot(high - value, unseen)


def _unseen(ratios: Floats, scale: Sequence[float], like: Figures) -> float:
    """What may be there though no image showed it: where a ratio is the same in every resample.

    Then the second side makes no error, or no image is judged otherwise by one side. By Wilson's interval for no event
    in n images; the images are the same under every corruption and level, so that the parts add up. `scale`: levels
    over the first side's sum, corruption by corruption.
    """
    least = Z**2 / (float(like.clusters.max()) + Z**2)
    still = np.array([np.nanmax(ratio) - np.nanmin(ratio) <= 1e-6 for ratio in ratios])
    return float((still * np.array(scale)).mean()) * least


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(words, names))


def _mean(side: Sequence[_Sums], name: str) -> Floats:
    """The resamples of a side: the mean over its runs."""
    return np.mean([run[name].draws for run in side], axis=0)
