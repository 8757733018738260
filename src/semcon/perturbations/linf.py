"""Linf: any change of at most s / 255 a value."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.core.errors import SemconError
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Linf(Perturbation):
    """Add s / 255 u, every element of u in [-1, 1], clipped. Drawn uniformly; a search over u is PGD.

    Source: Madry et al., arXiv 1706.06083.
    """

    family = "additive_ball"
    unit = "1/255"
    source = "arXiv 1706.06083"
    parameters = "box"
    ladder = (1.0, 2.0, 4.0, 8.0, 16.0)
    maximum = 255.0

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, C, H, W), uniform in (-1, 1)."""
        return {"field": keys.signed("field", tuple(like.shape[1:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x + s / 255 u, clipped."""
        return torch.addcmul(x, unit["field"], per_image(severity / 255)).clamp_(0, 1)

    def check_severity(self, severity: float) -> float:
        """As for all; besides, a value that was meant as a share of 1 is refused."""
        if 0 < severity < 0.1:
            meant = max(1, round(severity * 255))
            raise SemconError(f"severity of linf is {severity:g}, but the unit is 1/255: did you mean {meant}?")
        return super().check_severity(severity)
