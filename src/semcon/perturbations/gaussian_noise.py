"""Gaussian noise: independent at every pixel and channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class GaussianNoise(Perturbation):
    """Add s n, n standard normal per element, clipped. Source: Hendrycks and Dietterich, arXiv 1903.12261."""

    family = "noise"
    unit = "standard deviation on [0, 1]"
    source = "arXiv 1903.12261"
    parameters = "unbounded"
    ladder = (0.01, 0.02, 0.05, 0.1, 0.2)

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, C, H, W), standard normal."""
        return {"field": keys.normal("field", tuple(like.shape[1:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x + s n, clipped."""
        return torch.addcmul(x, unit["field"], per_image(severity)).clamp_(0, 1)
