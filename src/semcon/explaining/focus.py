"""Where a map looks: inside the object, and how concentrated. (B, H, W) -> (B,), NaN where it cannot be told."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semcon.explaining.likeness import blank, importance_order


def mass_inside(maps: Tensor, mask: Tensor) -> Tensor:
    """The share of the positive values that lies inside `mask` (B, H, W), 1 on the object."""
    positive = maps.clamp(min=0)
    return _within((positive * mask).sum((1, 2)) / positive.sum((1, 2)), mask)


def pointing_game(maps: Tensor, mask: Tensor) -> Tensor:
    """1 where the largest value is inside; a share where several places have it. Source: arXiv 1608.00507."""
    top = (maps == maps.amax((1, 2), keepdim=True)).float()
    found = (top * mask).sum((1, 2)) / top.sum((1, 2))
    return _within(found.masked_fill(blank(maps), torch.nan), mask)


def mask_iou(maps: Tensor, mask: Tensor) -> Tensor:
    """Intersection over union of the mask and as many pixels of the map, those with the largest values."""
    inside, size = mask.flatten(1) > 0.5, (mask > 0.5).sum((1, 2))
    place = torch.arange(inside.shape[1], device=maps.device)
    chosen = torch.zeros_like(inside).scatter(1, importance_order(maps), place < size[:, None])
    found = (inside & chosen).sum(1) / (inside | chosen).sum(1)
    return _within(found.masked_fill(blank(maps), torch.nan), mask)


def gini(maps: Tensor) -> Tensor:
    """Gini index of the absolute values: 0 where they are equal, near 1 where one pixel has all. arXiv 1810.06583."""
    values = maps.flatten(1).abs().double().sort(1).values
    count = values.shape[1]
    weights = torch.arange(1, count + 1, device=maps.device).double() * 2 - count - 1
    return ((values * weights).sum(1) / (count * values.sum(1))).float()


def entropy(maps: Tensor) -> Tensor:
    """Entropy of the absolute values as shares of their sum, over its maximum: 1 where they are equal."""
    share = maps.flatten(1).abs().double()
    share = share / share.sum(1, keepdim=True)
    return (-torch.special.xlogy(share, share).sum(1) / math.log(share.shape[1])).float()


def _within(values: Tensor, mask: Tensor) -> Tensor:
    """Unknown where there is no object."""
    return values.masked_fill(mask.sum((1, 2)) == 0, torch.nan)
