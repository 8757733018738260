"""The figures of a side, averaged over its runs, and what the difference of two sides may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcon.core.bootstrap import percentiles
from semcon.core.figures import Figures
from semcon.core.intervals import Z, correlation, difference_interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SideFigures:
    """Figures of one side: `mean` over its runs, `each` run's values (runs, k).

    `floor` (k,) and `floors` (k, resamples): `mean`'s values and draws with a median beyond the ladder at its end.
    """

    mean: Figures
    each: Floats
    floor: Floats
    floors: Floats

    def take(self, rows: Sequence[int]) -> SideFigures:
        """Some of them."""
        index = np.asarray(rows, np.int64)
        return SideFigures(self.mean.take(rows), self.each[:, index], self.floor[index], self.floors[index])


def averaged(runs: Sequence[Figures]) -> SideFigures:
    """The figures that all these runs have, as one side's."""
    common = [key for key in runs[0].keys if all(key in set(run.keys) for run in runs[1:])] if len(runs) > 1 else None
    if common is not None:
        places = [{key: row for row, key in enumerate(run.keys)} for run in runs]
        runs = [run.take([place[key] for key in common]) for run, place in zip(runs, places, strict=True)]
    each = np.stack([run.values for run in runs])
    floor = np.mean([np.where(np.isinf(run.values), run.beyond, run.values) for run in runs], axis=0)
    draws = _mean([run.draws for run in runs])
    if any(np.isinf(run.draws).any() for run in runs):
        floors = _mean([np.where(np.isinf(run.draws), run.beyond[:, None], run.draws) for run in runs])
    else:
        floors = draws
    mean = Figures(
        runs[0].keys, each.mean(axis=0), draws, np.min([run.samples for run in runs], axis=0),
        np.min([run.clusters for run in runs], axis=0), np.sum([run.rows for run in runs], axis=0),
        np.mean([run.censored for run in runs], axis=0),
        np.max([run.beyond for run in runs], axis=0),
    )  # fmt: skip
    return SideFigures(mean, each, floor, floors)


def _mean(parts: Sequence[npt.NDArray[np.floating]]) -> Floats:
    total = parts[0].astype(np.float64)
    for part in parts[1:]:
        total = total + part
    return total / len(parts) if len(parts) > 1 else total


def paired_bounds(one: SideFigures, two: SideFigures) -> tuple[Floats, Floats]:
    """95 % intervals over images of two - one, figure by figure: (k,), (k,); NaN where an end is not known.

    Percentiles of the paired differences; rates by Newcombe's method from both intervals and their correlation. A
    median beyond the ladder is somewhere above its end, so the interval of its difference may have one end only.
    """
    a, b = one.mean.draws.astype(np.float64), two.mean.draws.astype(np.float64)
    with np.errstate(invalid="ignore"):
        low, _ = percentiles(two.floors - a)
        _, high = percentiles(b - one.floors)
        low, high = np.fmin(low, two.floor - one.mean.values), np.fmax(high, two.mean.values - one.floor)
    none = np.minimum(one.mean.samples, two.mean.samples) < 2
    low = np.where(none | np.isinf(low), np.nan, low)
    high = np.where(none | np.isinf(high), np.nan, high)
    rate = ~np.isnan(one.mean.rows) & ~np.isnan(two.mean.rows)
    if rate.any():
        (p_low, p_high), (q_low, q_high) = one.mean.bounds(), two.mean.bounds()
        low[rate], high[rate] = difference_interval(
            (one.mean.values[rate], p_low[rate], p_high[rate]), (two.mean.values[rate], q_low[rate], q_high[rate]),
            correlation(a[rate], b[rate]),
        )  # fmt: skip
        low[rate], high[rate] = _unseen(one, two, rate, (low[rate], high[rate]))
    return low, high


def _unseen(one: SideFigures, two: SideFigures, rate: Bools, bounds: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Never shorter than Wilson's interval for no image in n that changed: where all agreed, others may not."""
    n = np.minimum(one.mean.samples, two.mean.samples)[rate]
    least = Z**2 / (n + Z**2)
    value = (two.mean.values - one.mean.values)[rate]
    return np.minimum(bounds[0], value - least), np.maximum(bounds[1], value + least)
