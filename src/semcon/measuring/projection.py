"""A seeded random projection for long representations: a count sketch of 4096 numbers.

Every element gets a random sign and one of `size` places, and elements of a place are added. The sketch is linear, so
that distances of sketches are sketches of differences; squared L2 distances and inner products keep their means.
Source: Charikar, Chen and Farach-Colton 2002; Weinberger et al., arXiv 0902.2206.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from semcon.keyed import Keys

SIZE = 4096


@dataclass(frozen=True)
class Projection:
    """(B, dimension) -> (B, size), the identity up to 4096; the same for one dimension and seed on every device."""

    dimension: int
    seed: int = 0
    size: int = SIZE

    @property
    def active(self) -> bool:
        """Whether there is anything to shorten."""
        return self.dimension > self.size

    @property
    def error(self) -> float:
        """Relative standard error of an L2 distance, about 1 / sqrt(2 size)."""
        return 1 / math.sqrt(2 * self.size) if self.active else 0.0

    def __call__(self, z: Tensor) -> Tensor:
        """Signs, a permutation, and sums of every size-th element."""
        if not self.active:
            return z
        order, sign = _tables(self.dimension, self.seed, z.device)
        padding = -self.dimension % self.size
        mixed = torch.nn.functional.pad(z[:, order] * sign.to(z.dtype), (0, padding))
        return mixed.view(len(z), -1, self.size).sum(1)


@lru_cache(maxsize=64)
def _tables(dimension: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    keys = Keys(torch.tensor([dimension]), seed, scope="projection")
    order = keys.bits("order", (dimension,))[0].to(torch.int64).argsort(stable=True)
    sign = (keys.bits("sign", (dimension,))[0] & 1) * 2 - 1
    return order.to(device), sign.to(torch.float32).to(device)
