"""Hue: every colour turned by one angle."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import shift_hue
from semcon.keyed import Keys


@dataclass(frozen=True)
class Hue(Perturbation):
    """Turn the hue by u s of the circle, u in [-1, 1] per image. Source: torchvision adjust_hue, not quantised."""

    family = "photometric"
    unit = "share of the hue circle, signed"
    source = "torchvision.transforms.functional.adjust_hue"
    parameters = "box"
    ladder = (0.01, 0.02, 0.04, 0.08, 0.15)
    maximum = 0.5

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`shift`: (B,)."""
        return {"shift": keys.signed("shift").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """Value and saturation kept, hue + u s modulo 1. Differentiable almost everywhere, finite on grey pixels."""
        return shift_hue(x, unit["shift"] * severity)
