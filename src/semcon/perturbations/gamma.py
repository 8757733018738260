"""Gamma: every value to one power."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Gamma(Perturbation):
    """Raise every value to the power 1 + u s, u in [-1, 1] per image. Source: torchvision adjust_gamma, gain 1."""

    family = "photometric"
    unit = "exponent 1 + s, signed"
    source = "torchvision.transforms.functional.adjust_gamma"
    parameters = "box"
    ladder = (0.05, 0.1, 0.2, 0.3, 0.5)
    maximum = 0.9

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`shift`: (B,)."""
        return {"shift": keys.signed("shift").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x ** (1 + u s). At x = 0, where the slope is infinite below exponent 1, the gradient is 0 (that of relu)."""
        return x.relu().pow(per_image(1 + unit["shift"] * severity))
