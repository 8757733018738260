"""Background swap: the same object somewhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit, object_mask
from semcon.keyed import Keys

FINEST = 12  # cycles per side


@dataclass(frozen=True)
class BackgroundSwap(Perturbation):
    """Put a generated background behind the object: two random colours, mixed by the product of two random waves.

    Needs masks of the objects. The background belongs to the image's own draw, so nothing depends on what else is in
    the batch, and it looks alike at every size.
    """

    family = "shape_and_texture"
    unit = "0 or 1"
    source = "after Xiao et al., arXiv 2006.09994; generated in place of other images'"
    kind = "binary"
    parameters = "box"
    ladder = (1,)
    maximum = 1.0
    default = False
    needs_mask = True

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`colour`: (B, 2, 3), -1 black and 1 white; `wave`: (B, 2, 3), cycles across and down, and phase."""
        return {"colour": keys.signed("colour", (2, 3)).to(like), "wave": keys.signed("wave", (2, 3)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x inside the mask, the background outside."""
        mask = object_mask(context, self).to(x)
        first, second = ((unit["colour"] + 1) / 2)[..., None, None].unbind(1)
        ground = torch.lerp(first, second, _pattern(unit["wave"], x.shape[-2], x.shape[-1]))
        return torch.lerp(ground, x, mask).clamp(0, 1)


def _pattern(wave: Tensor, height: int, width: int) -> Tensor:
    """(B, 2, 3) -> (B, 1, H, W) in [0, 1]."""
    across = (torch.arange(width, dtype=wave.dtype, device=wave.device) + 0.5) / width
    down = (torch.arange(height, dtype=wave.dtype, device=wave.device) + 0.5) / height
    right, below, phase = wave[..., None, None].unbind(2)
    turns = FINEST * (right * across + below * down[:, None]) + phase
    return (0.5 + 0.5 * torch.sin(2 * math.pi * turns).prod(dim=1, keepdim=True)).contiguous()
