"""Brightness: all channels times one factor."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Brightness(Perturbation):
    """Multiply every channel by 1 + u s, u in [-1, 1] per image, clipped. Source: torchvision adjust_brightness."""

    family = "photometric"
    unit = "factor 1 + s, signed"
    source = "torchvision.transforms.functional.adjust_brightness"
    parameters = "box"
    ladder = (0.05, 0.1, 0.2, 0.3, 0.5)
    maximum = 1.0

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`shift`: (B,)."""
        return {"shift": keys.signed("shift").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x (1 + u s), clipped."""
        return (x * per_image(1 + unit["shift"] * severity)).clamp_(0, 1)
