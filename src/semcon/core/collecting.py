"""Means over images, gathered column by column and resampled in one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from semcon.core.figures import Figures, Key
from semcon.core.images import Images
from semcon.core.yardsticks import Yardstick

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Use:
    """What becomes of some columns: one figure each. `divisor`: a yardstick.

    `rows`: (k,) observations per image that a rate rests on, infinite where each is a share itself. `terms`: (k,
    references) what one more count of each reference adds.
    """

    keys: Sequence[Key]
    divisor: Yardstick | None = None
    rows: Floats | None = None
    terms: Floats | None = None


class Collector:
    """Figures of the images `index` (n,). `add` columns with their uses, then `figures`."""

    def __init__(self, images: Images, index: Integers) -> None:
        self.images, self.index = images, index
        self._places = None if len(index) == len(images) else index
        self._columns: list[Singles] = []
        self._height = 0
        self._append(np.ones((1, len(index)), np.float32))
        self._parts: list[tuple[Use, slice, Integers, Floats, Integers, Floats]] = []
        self._distinct, self._clusters = images.distinct(index), images.clusters(index)

    def add(self, values: Singles, uses: Sequence[Use]) -> None:
        """Columns (k, n), NaN where an image has no value and drops out of numerator and denominator."""
        known = ~np.isnan(values)
        filled = values if known.all() else np.where(known, values, np.float32(0))
        with np.errstate(invalid="ignore"):
            means = filled.sum(axis=1, dtype=np.float64) / known.sum(axis=1)
        place = self._append(filled)
        weights = np.zeros(len(values), np.int64)
        samples, clusters = np.full(len(values), self._distinct, np.int64), np.full(len(values), self._clusters)
        for row in np.flatnonzero(~known.all(axis=1)).tolist():
            weights[row] = self._append(known[row : row + 1].astype(np.float32)).start
            there = self.index[known[row]]
            samples[row], clusters[row] = self.images.distinct(there), self.images.clusters(there)
        self._parts += [(use, place, weights, means, samples, clusters) for use in uses]

    def figures(self) -> Figures:
        """All of them, with their resamples."""
        sums = self.images.weights.resampled(np.concatenate(self._columns), self._places)
        self._columns.clear()
        noisy = [use.terms for use, *_ in self._parts if use.terms is not None]
        noise = self.images.weights.sums(np.concatenate(noisy), self.images.references) if noisy else None
        figures: list[Figures] = []
        for part in self._parts:
            made = self._figures(sums, *part)
            if part[0].terms is not None and noise is not None:
                made, noise = replace(made, draws=made.draws + noise[: len(made.keys)]), noise[len(made.keys) :]
            figures.append(made)
        return Figures.concat(figures)

    def _append(self, columns: Singles) -> slice:
        self._columns.append(self.images.weights.gathered(columns, self._places).astype(np.float32, copy=False))
        self._height += len(columns)
        return slice(self._height - len(columns), self._height)

    @staticmethod
    def _figures(
        sums: Singles, use: Use, place: slice, weights: Integers, means: Floats, samples: Integers, clusters: Floats
    ) -> Figures:
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = sums[place] / sums[weights]
            rows = None if use.rows is None else clusters * use.rows
            figures = Figures.of_means(use.keys, means, draws, samples, clusters, rows)
            if use.divisor is None:
                return figures
            divisor = np.where(use.divisor.draws > 0, use.divisor.draws, np.nan).astype(np.float32)
            value = use.divisor.value if use.divisor.value > 0 else np.nan
            return replace(figures, values=means / value, draws=draws / divisor)
