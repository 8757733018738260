"""L2: the Euclidean distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Distance


@dataclass(frozen=True)
class L2(Distance):
    """sqrt(sum (a - b)^2); its gradient is 0, not NaN, where a = b."""

    source = "definition"
    homogeneous = True

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,)."""
        return torch.linalg.vector_norm(a - b, dim=1)

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, D), (R, D) -> (B, R); by differences where that is cheap (exact near 0), else by matrix products.

        Products lose what is small beside the vectors themselves, so what all of them share is taken off first.
        """
        if a.shape[1] <= 256:
            return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        centre = b.mean(0)
        return torch.cdist(a - centre, b - centre, compute_mode="use_mm_for_euclid_dist")
