"""Pixelate: fewer and larger pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_SHARE = Published(
    identity=(1.0,),
    levels={
        32: ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
        64: ((0.9,), (0.8,), (0.7,), (0.6,), (0.5,)),
        224: ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
    },
)


@dataclass(frozen=True)
class Pixelate(Perturbation):
    """Shrink to a share c of the side with a box filter and back: c from 0.6 to 0.25 at 224 px, 0.95 to 0.65 at 32 px.

    The smaller side is int(c side) pixels, so that there are finitely many copies; not rounded to 8 bits.
    Source: Hendrycks and Dietterich, arXiv 1903.12261; the box filter of Pillow, which takes whole pixels.
    """

    family = "blur_and_coding"
    unit = UNIT
    source = SOURCE
    parameters = "fixed"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """Means of boxes, each at every pixel that lies in it. Images of one size of box are worked on together."""
        (share,) = _SHARE.at(severity.detach(), x.shape[-2])
        sizes = [tuple(max(1, int(side * one + 1e-4)) for side in x.shape[2:]) for one in share.tolist()]
        if len(set(sizes)) == 1:
            return _boxed(x, *sizes[0])
        out = torch.empty_like(x)
        for size in set(sizes):
            rows = torch.tensor([i for i, each in enumerate(sizes) if each == size], device=x.device)
            out[rows] = _boxed(x[rows], *size)
        return out


def _boxed(x: Tensor, rows: int, columns: int) -> Tensor:
    """Means over the rows of a box, then over its columns; then each back to where its pixels were."""
    height, width = x.shape[2:]
    down, across = _parts(height, rows, x), _parts(width, columns, x)
    row_of, column_of = _box_of(height, rows, x), _box_of(width, columns, x)

    def some(x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        means = _means(_means(x, down, 2), across, 3)
        return _read(_read(means, column_of, 3), row_of, 2)

    return in_blocks(some, x, {}, x.new_zeros(len(x)))


def _parts(size: int, boxes: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The first pixel of every box and its weight in the mean, the second and so on; weight 0 where there is none."""
    starts, counts = _edges(size, boxes)
    return [
        (
            torch.tensor([min(first + k, size - 1) for first in starts], device=like.device),
            like.new_tensor([float(k < count) / count for count in counts]),
        )
        for k in range(max(counts))
    ]


def _means(x: Tensor, parts: list[tuple[Tensor, Tensor]], dim: int) -> Tensor:
    """Over the pixels of every box along one dimension."""
    total = x.new_zeros(())
    for places, weights in parts:
        total = torch.addcmul(total, _read(x, places, dim), weights[:, None] if dim == 2 else weights)
    return total


def _read(x: Tensor, places: Tensor, dim: int) -> Tensor:
    """Rows (2), or columns (3), which `index_select` would take one number at a time."""
    return x.index_select(2, places) if dim == 2 else x.gather(3, places.expand(*x.shape[:3], -1))


def _edges(size: int, boxes: int) -> tuple[list[int], list[int]]:
    """Where each box begins, and how many pixels it has: those whose middle is in it, or on its far end."""
    edges = [int(box * size / boxes + 0.5) for box in range(boxes)] + [size]
    return edges[:-1], [last - first for first, last in pairwise(edges)]


def _box_of(size: int, boxes: int, like: Tensor) -> Tensor:
    """The box whose interval holds each pixel's middle."""
    return torch.tensor([min(boxes - 1, int((i + 0.5) * (boxes / size))) for i in range(size)], device=like.device)
