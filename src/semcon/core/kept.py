"""Accuracy kept: what share of the accuracy on untouched images is left under a perturbation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semcon.core.figures import Figures
from semcon.core.intervals import correlation, finite, ratio_interval
from semcon.core.record import Estimate
from semcon.core.summary import Summary
from semcon.core.table import SampleTable

Floats = npt.NDArray[np.float64]
QUANTITY = "accuracy_kept"


def accuracy_kept(table: SampleTable, *, seed: int = 0) -> list[Estimate]:
    """An estimate `accuracy_kept` for every perturbation and severity of a table: accuracy there over accuracy here.

    Both are of the same images, which the interval knows; it is Wilson's where nothing is kept, not nothing. Null where
    too few untouched images are classified correctly. Empty without labels.
    """
    summary = Summary(table, seed, only=(), subsets="all")
    if not len(summary.images) or not summary.images.labelled:
        return []
    clean = next(summary.untouched())
    estimates: list[Estimate] = []
    for name in summary.names:
        for figures in summary.cells(name):
            estimates += _kept(
                figures.take([row for row, key in enumerate(figures.keys) if key.quantity == "accuracy"]), clean
            )
    return estimates


def _kept(copies: Figures, clean: Figures) -> list[Estimate]:
    ends, (clean_low, clean_high) = copies.bounds(), clean.bounds()
    low, high = ratio_interval(
        (copies.values, *ends),
        (clean.values[:1], clean_low[:1], clean_high[:1]),
        correlation(copies.draws, clean.draws[:1]),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        values = copies.values / clean.values[0]
    return [
        Estimate(
            **key._replace(quantity=QUANTITY, statistic="ratio")._asdict(), mean=finite(values[row]),
            low=finite(low[row]), high=finite(high[row]), samples=int(copies.samples[row]),
            reason=None if np.isfinite(high[row]) else "too few untouched images are classified correctly",
        )
        for row, key in enumerate(copies.keys)
    ]  # fmt: skip
