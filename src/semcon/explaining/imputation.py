"""Noisy linear imputation: removed pixels become the mean of their neighbours, which hides the shape of the hole."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from semcon.keyed import Keys

_NEAR, _DIAGONAL = 1 / 6, 1 / 12
_STEPS, _CLOSE = 400, 1e-4


@torch.no_grad()
def impute(x: Tensor, gone: Tensor, keys: Keys, noise: float = 0.01) -> Tensor:
    """Fill the pixels `gone` (B, H, W) bool of x (B, 3, H, W): each the weighted mean of its eight neighbours.

    Neighbours at a side count twice those at a corner; those beyond the edge not at all. The linear system is
    symmetric and is solved by conjugate gradients to 1e-4. Then comes normal `noise`, as the source has it. An image
    of which nothing is left becomes grey. Source: ROAD, Rong et al., arXiv 2202.00449.
    """
    hole = gone[:, None].to(x)
    weight = _neighbours(torch.ones_like(hole))
    known = x * (1 - hole)
    right = _neighbours(known) * hole
    guess = _guess(known, 1 - hole) * hole
    residual = right - (weight * guess - _neighbours(guess)) * hole
    direction, size = residual, residual.square().sum((2, 3), keepdim=True)
    for step in range(_STEPS):
        if step % 8 == 0 and float(residual.abs().max()) < _CLOSE * _DIAGONAL:
            break
        moved = (weight * direction - _neighbours(direction)) * hole
        pace = size / (direction * moved).sum((2, 3), keepdim=True).clamp(min=1e-30)
        guess, residual = guess + pace * direction, residual - pace * moved
        new = residual.square().sum((2, 3), keepdim=True)
        direction, size = residual + new / size.clamp(min=1e-30) * direction, new
    grain = noise * keys.within("imputation").normal("noise", tuple(x.shape[1:])).to(x)
    return torch.where(hole > 0, (guess + grain).clamp(0, 1), x)


def _neighbours(x: Tensor) -> Tensor:
    """The weighted sum of the eight neighbours, zeros beyond the edge."""
    across = functional.pad(x, (1, 1, 0, 0))
    line = across[..., :-2] + across[..., 2:]  # left and right
    tall = functional.pad(_NEAR * x + _DIAGONAL * line, (0, 0, 1, 1))
    return tall[..., :-2, :] + tall[..., 2:, :] + _NEAR * line


def _guess(known: Tensor, there: Tensor) -> Tensor:
    """A start for the solver: the mean of what is known around, from ever coarser scales; 0.5 where nothing is."""
    mean = known.sum((2, 3), keepdim=True) / there.sum((2, 3), keepdim=True).clamp(min=1)
    empty = there.amax((2, 3), keepdim=True) == 0
    found = torch.where(empty, 0.5, mean).expand_as(known)
    for scale in (16, 8, 4, 2):
        if min(known.shape[2:]) < 2 * scale:
            continue
        weight = functional.avg_pool2d(there, scale, ceil_mode=True)
        coarse = functional.avg_pool2d(known, scale, ceil_mode=True) / weight.clamp(min=1e-6)
        fine = [functional.interpolate(one, known.shape[2:]) for one in (coarse, weight)]
        found = torch.where(fine[1] > 0, fine[0], found)
    return found
