"""Pixelate: fewer and larger pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

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
    """Sums over the rows of a box, then over its columns, as rows of the transpose; then means back to the pixels."""
    height, width = x.shape[2:]
    row_of, column_of = _box_of(height, rows, x), _box_of(width, columns, x)
    (tops, high), (lefts, wide) = (_edges(*each) for each in ((height, rows), (width, columns)))
    first_rows, first_columns = (torch.tensor(firsts, device=x.device) for firsts in (tops, lefts))
    size = torch.tensor(wide, device=x.device)[:, None] * torch.tensor(high, device=x.device)

    def some(x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        planes = x.shape[0] * x.shape[1]
        plane = torch.arange(planes, device=x.device)[:, None]
        sums = _sums(x.reshape(-1, width), plane * height + first_rows)
        sums = _sums(sums.view(planes, rows, width).mT.reshape(-1, rows), plane * width + first_columns)
        means = (sums.view(planes, columns, rows) / size).flatten(0, 1)
        lines = means.index_select(0, (plane * columns + column_of).flatten()).view(planes, width, rows).mT
        return lines.reshape(-1, width).index_select(0, (plane * rows + row_of).flatten()).view_as(x)

    return in_blocks(some, x, {}, x.new_zeros(len(x)))


def _sums(lines: Tensor, starts: Tensor) -> Tensor:
    """Of the rows from each start to the next, one pass over (N, M)."""
    return F.embedding_bag(torch.arange(len(lines), device=lines.device), lines, starts.flatten(), mode="sum")


def _edges(size: int, boxes: int) -> tuple[list[int], list[int]]:
    """Where each box begins, and how many pixels it has: those whose middle is in it, or on its far end."""
    edges = [int(box * size / boxes + 0.5) for box in range(boxes)] + [size]
    return edges[:-1], [last - first for first, last in pairwise(edges)]


def _box_of(size: int, boxes: int, like: Tensor) -> Tensor:
    """The box whose interval holds each pixel's middle."""
    return torch.tensor([min(boxes - 1, int((i + 0.5) * (boxes / size))) for i in range(size)], device=like.device)
