"""Which images a property is taken from, and how much predictions follow it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from semcon.core.clustered import two_way_error
from semcon.keyed import Keys
from semcon.loading import Batch

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Donors in the order of their classes: `images` (different ones), `classes` (N,)."""

    images: Batch
    classes: Tensor

    @classmethod
    def of(cls, images: Batch, classes: Tensor) -> Pool:
        """From images in any order with their classes (N,)."""
        by_id = images.ids.argsort(stable=True)
        order = by_id[classes[by_id].argsort(stable=True)]
        masks = None if images.masks is None else images.masks[order]
        titles = tuple(images.titles[row] for row in order.tolist())
        sorted_ = Batch(
            images.x[order], images.positions[order], images.ids[order], images.labels[order], titles, masks
        )  # fmt: skip
        return cls(sorted_, classes[order])

    @property
    def names(self) -> Tensor:
        """The classes that there are, (C,), ascending."""
        return self.classes.unique()

    def chosen(self, ids: Tensor, prediction: Tensor, donors: int, seed: int) -> Tensor:
        """Rows of the pool for images (B,): (B, donors or, where these are fewer, classes).

        First one of the predicted class, then of others, each of another class, all keyed. No image is its own donor:
        a class that has nothing else is passed over, and where too few are left a class comes twice.
        """
        names, counts = self.classes.unique(return_counts=True)
        starts = counts.cumsum(0) - counts
        same = self.images.ids[None] == ids[:, None]
        own = torch.where(same.any(1), same.int().argmax(1), -1)
        keys = Keys(ids, seed, 0, "bias_search")
        slots = min(donors, len(names))
        inside = (own[:, None] >= starts) & (own[:, None] < starts + counts)
        free = counts - inside.long()
        rank = keys.uniform("class", (len(names),))
        rank[names[None] == prediction[:, None]] = -1.0
        rank[free == 0] = 2.0
        turn = torch.arange(slots)[None] % (free > 0).sum(1, keepdim=True)
        place = rank.argsort(dim=1).gather(1, turn)
        left = free.gather(1, place)
        row = (keys.uniform("which", (slots,)) * left).long().clamp_max_(left - 1) + starts[place]
        return row + (inside.gather(1, place) & (row >= own[:, None])).long()


@dataclass(frozen=True)
class Followed:
    """`mean` of `follows` over `images`, its standard `error`, and how many `donors` it rests on."""

    mean: float
    error: float
    images: int
    donors: int


def followed(own: Integers, predicted: Integers, classes: Integers, donors: Integers) -> Followed | None:
    """How much more often a copy is predicted to be of the class of its donor than copies with other donors are.

    `own` (N,): the class predicted of each image; `predicted`, `classes`, `donors` (N, K): of each of its copies the
    prediction, the donor's class and the donor. Over donors of classes other than `own`, each against those of further
    classes; where there are none, against those of `own`. An image whose donors are all of one class, or of its own,
    drops out; None where all do. The mean is a sum over copies, and the error is clustered by image and by donor:
    images that share a donor are not independent. What a class does, as the own or as another, is no chance.
    """
    differ = classes[:, :, None] != classes[:, None, :]
    foreign = classes != own[:, None]
    known = foreign.any(1) & differ.any((1, 2))
    if not known.any():
        return None
    own, predicted, classes, donors = own[known], predicted[known], classes[known], donors[known]
    differ, foreign = differ[known], foreign[known]
    hits = predicted[:, :, None] == classes[:, None, :]  # of image, copy, and donor that is asked for
    share = foreign / foreign.sum(1, keepdims=True)
    others = differ & foreign[:, :, None]
    differ = np.where(others.any(1, keepdims=True), others, differ)
    elsewhere = np.where(differ, share[:, None, :] / np.maximum(1, differ.sum(1, keepdims=True)), 0.0)
    terms = share * (predicted == classes) - (hits * elsewhere).sum(2)
    count = len(terms)
    error = two_way_error(terms, donors, 2 * classes + foreign) / count
    return Followed(float(terms.sum() / count), error, count, len(np.unique(donors)))
