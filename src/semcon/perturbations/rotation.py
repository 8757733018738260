"""Rotation: the image turned about its centre."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import Padding, per_image, warp
from semcon.keyed import Keys


@dataclass(frozen=True)
class Rotation(Perturbation):
    """Turn the image about its centre by u s degrees, u in [-1, 1] per image, counter-clockwise; bilinear.

    `padding`: what comes in at the corners, the mirror image or zeros.
    """

    padding: Padding = "reflection"

    family = "geometry"
    unit = "degrees, signed"
    source = "definition; bilinear"
    parameters = "box"
    ladder = (2.0, 5.0, 10.0, 15.0, 30.0)
    maximum = 180.0
    monotone = False
    moves_pixels = True

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`angle`: (B,)."""
        return {"angle": keys.signed("angle").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x looked up at positions turned the other way; right angles between pixels also where H and W differ."""
        return self._turn(x, unit, severity).clamp_(0, 1)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """The map turned along with the image."""
        return torch.where(per_image(severity == 0), aligned, self._turn(aligned, unit, severity))

    def _turn(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        angle = unit["angle"] * severity * (math.pi / 180)
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        matrix = torch.stack((cos, -sin, zero, sin, cos, zero), dim=1).view(-1, 2, 3)
        return warp(x, matrix, self.padding)
