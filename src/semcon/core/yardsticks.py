"""How far different images lie apart, resampled: the divisors of the relative figures.

An image's spread is its mean distance to the references, which are images of the same sample: their noise counts too.
The mean of the spreads is a U-statistic, so its error has two halves: the images that are measured, and the references
they are measured against. Resampling only the first gives intervals that are too short (`tests/core/test_coverage.py`).

The second half needs a reference's mean distance to the images of the subset. Known are its distance to its own class
and its spread, hence its mean distance to all other classes: the first counts as the subset's share of that class, the
second as the rest. That is exact for all images and for `within`; of a subset with another mix of classes it takes the
other classes together. The classes' shares among all images, by which spreads are weighted, are resampled likewise.
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
LOST = -2  # in place of the label of an image without a spread


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
        known = index[np.isfinite(self.spreads[index])]
        if not self.shared or not len(known):
            return stick
        classes, base, own = self._spread_noise
        mix = np.bincount(np.searchsorted(classes, self.images.labels[known]), minlength=len(classes)) / len(known)
        return Yardstick(stick.value, stick.draws + base + mix @ own)

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
    def _spread_noise(self) -> tuple[Integers, Floats, Floats]:
        """The second half for the spread: of images of whom a share q_k is of `classes` (K,), it is base + q @ own.

        `base` (resamples,): as if they were of other classes than the references; `own` (K, resamples).
        """
        spreads, withins, weights = self.spreads, self.withins, self.images.weights
        labels = np.where(np.isfinite(spreads), self.images.labels, LOST)
        classes, counts = np.unique(labels[labels != LOST], return_counts=True)
        quota, shares = spread_quota(len(classes)), counts / counts.sum()
        members = [np.flatnonzero(labels == label) for label in classes]
        occurs = np.stack([weights.sums(np.ones((1, len(rows))), rows)[0] for rows in members]).astype(np.float64)
        base, own = np.zeros(weights.resamples), np.zeros((len(classes), weights.resamples))
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = occurs / occurs.sum(axis=0) - shares[:, None]
        for row, (label, share) in enumerate(zip(classes.tolist(), shares.tolist(), strict=True)):
            seen = self._references.get(label, np.zeros(0, np.int64))
            seen = seen[labels[seen] != LOST]
            if len(seen):
                others, farther = _apart(spreads[seen], withins[seen], share)
                factor = share / np.sqrt(len(seen) * min(quota, len(seen)))
                noise = weights.sums(factor * np.stack([others - others.mean(), farther - farther.mean()]), seen)
                base += noise[0] + others.mean() * moved[row]
                own[row] = noise[1] + farther.mean() * moved[row]
        return classes, base, own

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


def _apart(spread: Floats, within: Floats, share: float) -> tuple[Floats, Floats]:
    """Of references of a class that is this share of all images, (n,) each: the mean distance to the other classes,

    and how much farther their own is. Where the two cannot be told apart, the spread and 0.
    """
    others = (spread - share * within) / (1 - share) if share < 1 else np.full(len(spread), np.nan)
    known = np.isfinite(others)
    return np.where(known, others, spread), np.where(known, within - others, 0.0)
