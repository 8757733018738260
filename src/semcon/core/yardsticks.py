"""How far different images lie apart, resampled: the divisors of the relative figures.

An image's spread is its mean distance to the references, which are images of the same sample: their noise counts too.
The mean of the spreads is a U-statistic, so its error has two halves: the images that are measured, and the references
they are measured against. Resampling only the first gives intervals that are too short (`tests/core/test_coverage.py`).

The second half needs a reference's mean distance to the images of the subset. Its own spread stands for that, exact for
all images (every class in its share) and for `within`, approximate for a class's spread to all classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from semcon.core.images import Images

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
SPREAD_REFERENCES = 1280  # in all, equally many a class, that a spread over all classes uses


def spread_quota(classes: int) -> int:
    """How many references of each class the spread over all classes uses."""
    return max(2, -(-SPREAD_REFERENCES // max(1, classes)))


@dataclass(frozen=True)
class Yardstick:
    """The mean of a yardstick over a subset: `value`, and in every resample `draws` (resamples,). NaN: undefined."""

    value: float
    draws: Floats


@dataclass(frozen=True)
class Yardsticks:
    """The yardsticks of one gauge. `shared`: count the references' noise too; without only to show why it is there."""

    images: Images
    gauge: str
    shared: bool = True

    @property
    def spreads(self) -> Floats:
        """Mean distance of each image to images of all classes: (N,)."""
        return self.images.column(f"{self.gauge}.spread")

    @property
    def withins(self) -> Floats:
        """Mean distance of each image to others of its class: (N,); NaN where there is none."""
        return self.images.column(f"{self.gauge}.within")

    def spread(self, index: Integers) -> Yardstick:
        """The mean spread of the images `index`: classes weighted by their share of all images."""
        stick = self._mean(self.spreads, index)
        return Yardstick(stick.value, stick.draws + self._spread_noise) if self.shared else stick

    def within(self, index: Integers) -> Yardstick:
        """The mean distance to the own class, of the images `index`."""
        stick = self._mean(self.withins, index)
        if not self.shared:
            return stick
        labels = self.images.labels[index[np.isfinite(self.withins[index])]]
        return Yardstick(stick.value, stick.draws + self._reference_noise(self.withins, labels, quota=None))

    def _mean(self, values: Floats, index: Integers) -> Yardstick:
        index = index[np.isfinite(values[index])]
        if not len(index):
            return Yardstick(float("nan"), np.full(self.images.weights.resamples, np.nan))
        columns = np.stack([values[index], np.ones(len(index))])
        total, weight = self.images.weights.sums(columns, index).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Yardstick(float(values[index].mean()), total / weight)

    @cached_property
    def _spread_noise(self) -> Floats:
        """The second half for the spread, classes' shares resampled with the images."""
        index = np.flatnonzero(np.isfinite(self.spreads))
        labels = self.images.labels[index]
        noise = self._reference_noise(self.spreads, labels, quota=spread_quota(len(np.unique(labels))))
        means = self._class_means(self.spreads)
        levels = np.array([means.get(label, np.nan) for label in labels.tolist()])
        composition = self._mean_of(levels, index)
        return noise + composition

    def _mean_of(self, levels: Floats, index: Integers) -> Floats:
        """How the mean of the classes' levels moves with their shares: (resamples,)."""
        kept = np.isfinite(levels)
        if not kept.any():
            return np.zeros(self.images.weights.resamples)
        centred = levels[kept] - levels[kept].mean()
        total, weight = self.images.weights.sums(np.stack([centred, np.ones(len(centred))]), index[kept])
        with np.errstate(divide="ignore", invalid="ignore"):
            return total.astype(np.float64) / weight

    def _reference_noise(self, values: Floats, labels: Integers, quota: int | None) -> Floats:
        """Sum over references j of (w_j - 1) a_j (values_j - the mean over its class's references): (resamples,).

        a_j: the share of `labels` in j's class over the number of references of that class that are used.
        """
        shares = dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True))
        parts = [np.zeros(0)]
        rows: list[Integers] = [np.zeros(0, np.int64)]
        for label, members in self._references.items():
            members = members[np.isfinite(values[members])]
            if label in shares and len(members):
                used = len(members) if quota is None else min(quota, len(members))
                factor = shares[label] / len(labels) / np.sqrt(len(members) * used)
                parts.append(factor * (values[members] - values[members].mean()))
                rows.append(members)
        index, terms = np.concatenate(rows), np.concatenate(parts)
        if not len(index):
            return np.zeros(self.images.weights.resamples)
        return self.images.weights.sums(terms[None], index)[0].astype(np.float64)

    @cached_property
    def _references(self) -> dict[int, Integers]:
        reference = self.images.references
        labels = self.images.labels[reference]
        return {label: reference[labels == label] for label in np.unique(labels).tolist()}

    def _class_means(self, values: Floats) -> dict[int, float]:
        members = {label: values[rows] for label, rows in self._references.items()}
        return {label: float(np.nanmean(v)) for label, v in members.items() if np.isfinite(v).any()}
