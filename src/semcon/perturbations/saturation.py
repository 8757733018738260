"""Saturation: away from or towards the grey image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import luminance, per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Saturation(Perturbation):
    """Multiply distances from the grey image by 1 + u s, u in [-1, 1]. Source: torchvision adjust_saturation."""

    family = "photometric"
    unit = "factor 1 + s, signed"
    source = "torchvision.transforms.functional.adjust_saturation"
    parameters = "box"
    ladder = (0.1, 0.2, 0.4, 0.6, 0.9)
    maximum = 1.0

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`shift`: (B,)."""
        return {"shift": keys.signed("shift").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """l + (1 + u s) (x - l), clipped; l: luminance of the pixel."""
        factor = per_image(1 + unit["shift"] * severity)
        return torch.lerp(luminance(x), x, factor).clamp_(0, 1)
