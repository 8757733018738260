"""Tilt: the image plane turned away from the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import Padding, centred, per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Tilt(Perturbation):
    """Turn the image plane by u s degrees about a line through its centre, u in [-1, 1]; seen from one diagonal away.

    The line lies at v times 90 degrees from the horizontal, v in [-1, 1]. `padding`: what comes in at the edges.
    Source: the tilt of Hendrycks and Dietterich, arXiv 1903.12261, which turns about both axes at once.
    """

    padding: Padding = "reflection"

    family = "geometry"
    unit = "degrees, signed"
    source = "arXiv 1903.12261; bilinear"
    parameters = "box"
    ladder = (2.0, 5.0, 10.0, 15.0, 30.0)
    maximum = 45.0
    monotone = False
    moves_pixels = True
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`angle`, `axis`: (B,)."""
        return {"angle": keys.signed("angle").to(like), "axis": keys.signed("axis").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x looked up where the ray through each position meets the turned plane."""
        return self._turn(x, unit, severity).clamp_(0, 1)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """The map turned along with the image."""
        return torch.where(per_image(severity == 0), aligned, self._turn(aligned, unit, severity))

    def _turn(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        away = math.hypot(height, width)
        angle, axis = unit["angle"] * severity * (math.pi / 180), unit["axis"] * (math.pi / 2)
        numbers = (angle.cos(), angle.sin(), axis.cos(), axis.sin())
        cos, sin, along_x, along_y = (number.view(-1, 1, 1) for number in numbers)
        right, down = centred(width, x).mT, centred(height, x)
        along, across = right * along_x + down * along_y, down * along_x - right * along_y
        across = away * across / (away * cos - across * sin)
        along = along * (1 + across * sin / away)
        where = torch.stack((along * along_x - across * along_y, along * along_y + across * along_x), dim=3)
        half = x.new_tensor([width / 2, height / 2])
        return F.grid_sample(x, where / half, mode="bilinear", padding_mode=self.padding, align_corners=False)
