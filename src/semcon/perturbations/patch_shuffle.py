"""Patch shuffling: the picture cut into squares and put together in another order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys

MOST = 32  # cells a side


@dataclass(frozen=True)
class PatchShuffle(Perturbation):
    """Cut the image into s by s cells and put them in a random order: texture stays, the outline is lost.

    Cells are of one size, so that nothing is resampled and no pixel is lost: where the side is no multiple of s, a rim
    of less than s pixels in all stays in place. An image of fewer pixels a side than s is cut into its pixels.
    Severity 1 is the whole image.
    """

    family = "shape_and_texture"
    unit = "cells a side"
    source = "Zhang and Zhu, arXiv 1905.09797"
    kind = "discrete"
    parameters = "box"
    ladder = (2, 3, 4, 6, 8)
    maximum = MOST
    monotone = False
    parameter_gradient = False
    moves_pixels = True
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`order`: (B, 1024), of which the ranks of the first s * s are the order of the cells."""
        return {"order": keys.signed("order", (MOST * MOST,)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """Cell i shows what was in the cell of rank i."""
        return self.carry(x, unit, severity).clamp(0, 1)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """Its cells in the same order."""
        out = aligned.clone()
        for cells in severity.detach().unique().tolist():
            rows = torch.nonzero(severity.detach() == cells).flatten()
            grid = max(1, min(round(cells), MOST, aligned.shape[-2], aligned.shape[-1]))
            order = unit["order"].detach()[rows, : grid * grid].argsort(dim=1)
            out = out.index_copy(0, rows, _shuffled(aligned[rows], order, grid))
        return out


def _shuffled(x: Tensor, order: Tensor, grid: int) -> Tensor:
    """(B, C, H, W) with its cells in the `order` (B, grid * grid)."""
    batch, channels, height, width = x.shape
    high, wide = height // grid, width // grid
    top, left = (height - high * grid) // 2, (width - wide * grid) // 2
    middle = (slice(None), slice(None), slice(top, top + high * grid), slice(left, left + wide * grid))
    cells = x[middle].reshape(batch, channels, grid, high, grid, wide).permute(0, 2, 4, 1, 3, 5)
    cells = cells.reshape(batch, grid * grid, channels, high, wide)
    cells = cells[torch.arange(batch, device=x.device)[:, None], order]
    cells = cells.reshape(batch, grid, grid, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
    out = x.clone()
    out[middle] = cells.reshape(batch, channels, high * grid, wide * grid)
    return out
