"""Scale: the image larger or smaller."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import Padding, per_image, warp
from semcon.keyed import Keys


@dataclass(frozen=True)
class Scale(Perturbation):
    """Magnify the image about its centre by 1 + u s, u in [-1, 1] per image; bilinear.

    `padding`: what comes in at the edge where the image shrinks, the mirror image or zeros.
    """

    padding: Padding = "reflection"

    family = "geometry"
    unit = "factor 1 + s, signed"
    source = "definition; bilinear"
    parameters = "box"
    ladder = (0.02, 0.05, 0.1, 0.2, 0.3)
    maximum = 0.9
    monotone = False
    moves_pixels = True

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`shift`: (B,)."""
        return {"shift": keys.signed("shift").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x at p / (1 + u s), p counted from the centre."""
        return self._magnify(x, unit, severity).clamp_(0, 1)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """The map magnified along with the image."""
        return torch.where(per_image(severity == 0), aligned, self._magnify(aligned, unit, severity))

    def _magnify(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        step = 1 / (1 + unit["shift"] * severity)
        zero = torch.zeros_like(step)
        matrix = torch.stack((step, zero, zero, zero, step, zero), dim=1).view(-1, 2, 3)
        return warp(x, matrix, self.padding)
