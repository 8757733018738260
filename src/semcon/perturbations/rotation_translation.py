"""Rotation with translation: the image turned about its centre, then moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import Padding, per_image, warp
from semcon.keyed import Keys


@dataclass(frozen=True)
class RotationTranslation(Perturbation):
    """Turn the image by u s degrees and move it by v s / 3 and w s / 3 per cent of its sides, u, v, w in [-1, 1].

    Severity 30 is 30 degrees and 10 per cent, about 3 pixels of 32. `padding`: what comes in at the edges. Source:
    Engstrom et al., arXiv 1712.02779, whose strongest attack tries a grid of these three numbers.
    """

    padding: Padding = "reflection"

    family = "geometry"
    unit = "degrees, signed; shift s / 3 per cent of the side"
    source = "arXiv 1712.02779"
    parameters = "box"
    ladder = (2.0, 5.0, 10.0, 15.0, 30.0)
    maximum = 180.0
    monotone = False
    moves_pixels = True
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`angle`: (B,); `shift`: (B, 2), to the right and down."""
        return {"angle": keys.signed("angle").to(like), "shift": keys.signed("shift", (2,)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x looked up once, at R(-angle) (p - shift) from the centre; bilinear."""
        return self._move(x, unit, severity).clamp_(0, 1)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """The map turned and moved along with the image."""
        return torch.where(per_image(severity == 0), aligned, self._move(aligned, unit, severity))

    def _move(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        angle = unit["angle"] * severity * (math.pi / 180)
        side = x.new_tensor([x.shape[-1], x.shape[-2]])
        shift = unit["shift"] * severity[:, None] / 300 * side
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack((cos, -sin, sin, cos), dim=1).view(-1, 2, 2)
        return warp(x, torch.cat((turn, -turn @ shift[:, :, None]), dim=2), self.padding)
