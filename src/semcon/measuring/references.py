"""The yardsticks of a data set: how far different images lie apart, seen from each image.

A keyed subset of the images (the references) stands for the data set. From every image the mean distance to the other
references is its `spread` (classes weighted by their frequency), to those of its own class its `within`; the sorted
distances to its class answer how many are nearer than a change. DESIGN section 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from semcon.core.concepts import Gauge
from semcon.keyed import Keys

PER_CLASS, UNLABELLED, MOST = 128, 1280, 12_800


@dataclass(frozen=True)
class Index:
    """Every image of an audit: `ids` (N,) int64 sample ids, `labels` (N,) int64 output indices, -1 without."""

    ids: Tensor
    labels: Tensor

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return bool(len(self.labels)) and bool((self.labels >= 0).all())


def choose(index: Index, seed: int) -> Tensor:
    """Positions of the references by class, then hash: per class the 128 of smallest keyed hash, 1280 unlabelled.

    Duplicates count once. With more than 100 classes the share of a class shrinks (12 800 references in all), but not
    below 32: `any_nearer_20` needs 20 others.
    """
    rank = Keys(index.ids, seed, scope="references").bits("rank").to(torch.int64)
    first = _firsts(index.ids)
    labels = index.labels if index.labelled else torch.zeros_like(index.labels)
    classes = int(labels.unique().numel())
    quota = max(32, min(PER_CLASS, MOST // max(1, classes))) if index.labelled else UNLABELLED
    chosen = []
    for label in labels.unique():
        members = torch.nonzero(first & (labels == label)).flatten()
        chosen.append(members[rank[members].argsort(stable=True)][:quota])
    return torch.cat(chosen) if chosen else torch.zeros(0, dtype=torch.int64)


def _firsts(ids: Tensor) -> Tensor:
    """Which images are the first of their id: (N,) bool."""
    ordered, order = ids.sort(stable=True)
    first = torch.ones(len(ids), dtype=torch.bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first


@dataclass(frozen=True)
class Yardstick:
    """What the references say of a batch under one gauge: (B,) each, `same` (B, M) sorted and padded with inf."""

    spread: Tensor
    within: Tensor
    same: Tensor
    others: Tensor

    def nearer(self, change: Tensor) -> Tensor:
        """How many of the image's same-class references are nearer than the change: (B,) -> (B,) int64."""
        return torch.searchsorted(self.same, change[:, None].contiguous()).flatten()


@dataclass
class References:
    """The references' vectors per representation (sketched where long) and their classes."""

    positions: Tensor
    ids: Tensor
    labels: Tensor
    class_sizes: dict[int, int]
    vectors: dict[str, Tensor] = field(default_factory=dict)

    def rows(self, positions: Tensor) -> Tensor:
        """Which reference each position is, (B,) int64, -1 for none."""
        match = positions[:, None] == self.positions.to(positions.device)
        return torch.where(match.any(1), match.int().argmax(1), -1)

    def yardstick(self, gauge: Gauge, z: Tensor, ids: Tensor, labels: Tensor) -> Yardstick:
        """Distances from a batch's vectors z (B, D) to the references, as the two spreads and the sorted same class."""
        vectors = self.vectors[gauge.representation.name]
        spread = self._spread(gauge, z, ids, labels, vectors)
        width = max((int((self.labels == label).sum()) for label in labels.unique().tolist()), default=0)
        same = z.new_full((len(z), width), torch.inf)
        others = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        within = z.new_full((len(z),), torch.nan)
        for label in labels.unique().tolist():
            if label < 0:
                continue
            rows, columns = torch.nonzero(labels == label).flatten(), torch.nonzero(self.labels == label).flatten()
            distance = gauge.distance.pairwise(z[rows], vectors[columns])
            distance = distance.masked_fill(ids[rows, None] == self.ids[columns], torch.inf)
            ordered = distance.sort(dim=1).values
            same[rows, : len(columns)] = ordered
            finite = torch.isfinite(ordered)
            others[rows] = finite.sum(1)
            within[rows] = ordered.where(finite, 0).sum(1) / finite.sum(1)
        return Yardstick(spread, within, same, others)

    def _spread(self, gauge: Gauge, z: Tensor, ids: Tensor, labels: Tensor, vectors: Tensor) -> Tensor:
        """Mean distance to other images of all classes, each class weighted by its other images in the data."""
        columns = self._spread_columns()
        distance = gauge.distance.pairwise(z, vectors[columns])
        other = (ids[:, None] != self.ids[columns]).to(z.dtype)
        total = z.new_zeros(len(z))
        mass = z.new_zeros(len(z))
        for label, size in self.class_sizes.items():
            member = (self.labels[columns] == label).to(z.dtype)
            count = other @ member
            mean = (distance * other) @ member / count.clamp(min=1)
            weight = (size - (labels == label).to(z.dtype)) * (count > 0)
            total += weight * mean
            mass += weight
        return total / mass.where(mass > 0, torch.nan)

    def _spread_columns(self) -> Tensor:
        """About 1280 references, equally many a class: enough for one mean, whatever the number of classes."""
        quota = max(2, -(-UNLABELLED // max(1, len(self.class_sizes))))
        return torch.cat([torch.nonzero(self.labels == label).flatten()[:quota] for label in self.class_sizes])


def gather(index: Index, positions: Tensor, device: torch.device) -> References:
    """References without vectors yet; class sizes count different images, duplicates once."""
    labels = index.labels if index.labelled else torch.full_like(index.labels, -1)
    counted = {int(label): int(index.ids[labels == label].unique().numel()) for label in labels.unique()}
    return References(positions, index.ids[positions].to(device), labels[positions].to(device), counted)
