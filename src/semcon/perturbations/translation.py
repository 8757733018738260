"""Translation: the image moved sideways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import Padding, per_image, warp
from semcon.keyed import Keys


@dataclass(frozen=True)
class Translation(Perturbation):
    """Move the image by u s per cent of its width and v s per cent of its height, u and v in [-1, 1]; bilinear.

    Positive is to the right and down. `padding`: what comes in at the edge, the mirror image or zeros.
    """

    padding: Padding = "reflection"

    family = "geometry"
    unit = "per cent of the side, signed"
    source = "definition; bilinear"
    parameters = "box"
    ladder = (1.0, 2.0, 4.0, 8.0, 15.0)
    maximum = 100.0
    monotone = False
    moves_pixels = True

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`shift`: (B, 2), to the right and down."""
        return {"shift": keys.signed("shift", (2,)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x at (p - shift)."""
        return self._move(x, unit, severity).clamp_(0, 1)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """The map moved along with the image."""
        return torch.where(per_image(severity == 0), aligned, self._move(aligned, unit, severity))

    def _move(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        side = x.new_tensor([x.shape[-1], x.shape[-2]])
        shift = unit["shift"] * severity[:, None] / 100 * side
        matrix = torch.cat((torch.eye(2).to(x).expand(len(x), 2, 2), -shift[:, :, None]), dim=2)
        return warp(x, matrix, self.padding)
