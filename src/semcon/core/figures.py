"""Figures of a table with their resamples: what estimates, the profile and paired comparisons are all made of.

Every figure is a mean over images, a ratio of two such means, or a median. All of them are resampled by the same keyed
weights, so that any two figures are paired by construction, within a table and between tables of the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from semcon.core import explained
from semcon.core.bootstrap import percentiles
from semcon.core.intervals import effective_size, wilson

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Draws = Literal["random", "worst"]
Statistic = Literal["mean", "ratio", "median"]
RATES = ("flip", "accuracy", "discontinuity", "any_nearer_20", "flip_probability", *explained.RATES)
"""In [0, 1] image by image."""
WHY = {
    "within_class_change": "no two images of a class to compare, or they do not differ in this representation",
    "discontinuity": "no image has another one of its class among the references",
    "any_nearer_20": "no class has 20 other images among the references",
    "local_lipschitz": "no copy differs from its image, or different images do not differ in this representation",
    "relative_change": "no two images to compare, or they do not differ in this representation",
    "straightness": "nothing moves along the path, or too little to see how",
    "path_curvature": "nothing moves along the path, or too little to see how",
    "lipschitz": "no copy differs from its image, or the margin is 0",
    "input_curvature": "the model has no gradients, or the margin is 0",
    "moved": "no copy keeps its prediction, or the maps are blank",
    **dict.fromkeys((*explained.LIKENESS, *explained.OF_MAPS), "the maps are blank: they say the same everywhere"),
}


class Key(NamedTuple):
    """What an estimate is about; unique in a record."""

    perturbation: str | None
    severity: float | None
    draws: Draws
    representation: str | None
    distance: str | None
    quantity: str
    subset: str
    statistic: Statistic


@dataclass(frozen=True)
class Figures:
    """Some figures: `values` (k,), resampled `draws` (k, resamples), different images `samples` (k,); NaN: undefined.

    `clusters` (k,): the images that these are worth where some occur more often than others. `rows` (k,): observations
    behind a rate, NaN where the figure is none. `censored` and `beyond` (k,): for medians of
    censored values the share censored and the largest censoring time, else NaN.
    """

    keys: tuple[Key, ...]
    values: Floats
    draws: npt.NDArray[np.floating]
    samples: Integers
    clusters: Floats
    rows: Floats
    censored: Floats
    beyond: Floats

    @classmethod
    def of_means(
        cls,
        keys: Sequence[Key],
        values: Floats,
        draws: npt.NDArray[np.floating],
        samples: Integers,
        clusters: Floats,
        rows: Floats | None,
    ) -> Figures:
        """Means or ratios; `rows` where they are rates."""
        nothing = np.full(len(values), np.nan)
        return cls(tuple(keys), values, draws, samples, clusters, nothing if rows is None else rows, nothing, nothing)

    def take(self, rows: Sequence[int]) -> Figures:
        """Some of them, in this order."""
        index = np.asarray(rows, np.int64)
        return Figures(
            tuple(self.keys[row] for row in rows), self.values[index], self.draws[index], self.samples[index],
            self.clusters[index], self.rows[index], self.censored[index], self.beyond[index],
        )  # fmt: skip

    @classmethod
    def concat(cls, parts: Sequence[Figures]) -> Figures:
        """Some figures after each other."""
        keys = tuple(key for part in parts for key in part.keys)
        names = ("values", "draws", "samples", "clusters", "rows", "censored", "beyond")
        return cls(keys, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def bounds(self) -> tuple[Floats, Floats]:
        """95 % intervals (k,), (k,). Rates: Wilson's with the clusters' design effect; else percentiles.

        NaN where one image is not enough, and where a median's upper bound lies beyond what was tried.
        """
        low, high = percentiles(self.draws)
        low, high = np.fmin(low, self.values), np.fmax(high, self.values)
        single = self.samples < 2
        low[single], high[single] = np.nan, np.nan
        rate = ~np.isnan(self.rows) & ~np.isnan(self.values)
        if rate.any():
            low[rate], high[rate] = self._wilson(rate)
        low = np.where(np.isinf(low), self.beyond, low)
        undefined = np.isnan(self.values)
        return np.where(undefined, np.nan, low), np.where(undefined | np.isinf(high), np.nan, high)

    def _wilson(self, rate: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        values = self.values[rate]
        variance = np.nanvar(self.draws[rate].astype(np.float64), axis=1)
        return wilson(values, effective_size(values, variance, self.clusters[rate], self.rows[rate]))

    def reason(self, number: int) -> str | None:
        """Why a figure has no value or no interval; None where it has both."""
        key, value = self.keys[number], self.values[number]
        if np.isinf(value):
            single = "; one image gives no interval" if self.samples[number] < 2 else ""
            return f"more than half of the images have none up to {self.beyond[number]:g}{single}"
        if np.isnan(value):
            if self.samples[number] == 0 and key.subset == "correct":
                return WHY.get(key.quantity, "no such value was measured") + "; or no image is classified correctly"
            return WHY.get(key.quantity, "no such value was measured")
        if self.samples[number] < 2 and np.isnan(self.rows[number]):
            return "one image gives no interval"
        return None
