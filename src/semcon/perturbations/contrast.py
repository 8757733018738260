"""Contrast: away from or towards the image's mean luminance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import mean_luminance, per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Contrast(Perturbation):
    """Multiply distances from the mean luminance by 1 + u s, u in [-1, 1]. Source: torchvision adjust_contrast."""

    family = "photometric"
    unit = "factor 1 + s, signed"
    source = "torchvision.transforms.functional.adjust_contrast"
    parameters = "box"
    ladder = (0.05, 0.1, 0.2, 0.3, 0.5)
    maximum = 1.0

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`shift`: (B,)."""
        return {"shift": keys.signed("shift").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """m + (1 + u s) (x - m), clipped; m: mean luminance of the image."""
        factor = per_image(1 + unit["shift"] * severity)
        return torch.lerp(mean_luminance(x), x, factor).clamp_(0, 1)
