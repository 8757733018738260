"""Occlusion: a plain patch before the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys


@dataclass(frozen=True)
class Occlusion(Perturbation):
    """Cover a patch whose sides are s per cent of the image's with one grey, anywhere inside the image.

    The edges are anti-aliased, so that the result is continuous in s and in the position. With the same draw the
    patch of a smaller severity lies inside that of a larger one. `fill`: the patch's value in [0, 1].
    """

    fill: float = 0.5

    family = "occlusion"
    unit = "side in per cent of the image's side"
    source = "DeVries and Taylor, arXiv 1708.04552, wholly inside and anti-aliased"
    parameters = "box"
    ladder = (5.0, 10.0, 17.0, 25.0, 35.0)
    maximum = 100.0

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`position`: (B, 2), across and down, -1 and 1 where the patch touches the edge."""
        return {"position": keys.signed("position", (2,)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x outside the patch, `fill` inside, in proportion where a pixel is partly covered."""
        side, place = severity / 100, (unit["position"] + 1) / 2
        across, down = _cover(x.shape[-1], place[:, 0], side), _cover(x.shape[-2], place[:, 1], side)
        patch = (down[:, :, None] * across[:, None, :]).unsqueeze(1)
        return ((self.fill - x) * patch).add_(x).clamp_(0, 1)


def _cover(size: int, place: Tensor, side: Tensor) -> Tensor:
    """How much of each pixel of a row the patch covers: (B,), (B,) -> (B, size)."""
    start = (place * (1 - side) * size)[:, None]
    pixel = torch.arange(size, dtype=side.dtype, device=side.device)
    return (start + (side * size)[:, None] - pixel).clamp(0, 1) - (start - pixel).clamp(0, 1)
