"""Cosine: one minus the cosine of the angle."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from semcon.core.concepts import Distance


@dataclass(frozen=True)
class Cosine(Distance):
    """1 - <a, b> / (|a| |b|), in [0, 2]; a zero vector is at distance 1 from everything but another zero vector (0)."""

    source = "definition"
    homogeneous = True

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,), as half the squared distance of the directions: exactly 0 at equality."""
        unit_a, unit_b = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
        gap = 0.5 * (unit_a - unit_b).square().sum(1)
        one_is_zero = (unit_a == 0).all(1) ^ (unit_b == 0).all(1)
        return torch.where(one_is_zero, torch.ones_like(gap), gap)

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, D), (R, D) -> (B, R), as one to one; what all directions share is taken off, so that products keep it."""
        unit_a, unit_b = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
        zero_a, zero_b = (unit_a == 0).all(1)[:, None], (unit_b == 0).all(1)
        centre = unit_b.mean(0)
        p, q = unit_a - centre, unit_b - centre
        gap = (0.5 * (p.square().sum(1)[:, None] + q.square().sum(1)) - p @ q.T).clamp(0, 2)
        return gap.masked_fill(zero_a & zero_b, 0).masked_fill(zero_a ^ zero_b, 1)
