"""Fog: a plasma fractal of light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_LIGHT_AND_DECAY = Published(
    identity=(0.0, None),
    levels={
        32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        64: ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    },
)
_COARSE = 32  # rows of heights that are found for all images at once, as calls take longer than so few numbers
_FLAT = 1e-6  # a range of heights below which there is no fractal


@dataclass(frozen=True)
class Fog(Perturbation):
    """Add c times a plasma fractal, then scale so that the image's largest value stays the largest possible.

    The fractal is diamond-square on a torus, whose side is the next power of two: a height at the middle of others is
    their mean and a uniform number, d ** 2 times smaller at each halving; all heights are then brought to [0, 1]. At
    224 px c runs from 1.5 to 3 and d from 2 to 1.4, at 32 px 0.2 to 1.5 and 3 to 1.75. Source: Hendrycks and
    Dietterich, arXiv 1903.12261.
    """

    family = "weather"
    unit = UNIT
    source = SOURCE
    parameters = "box"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, M, M) in (-1, 1), M the next power of two."""
        side = 1 << (max(like.shape[2:]) - 1).bit_length()
        return {"field": keys.signed("field", (side, side)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """(x + c f) m / (m + c), m the image's largest value."""
        _, decay = _LIGHT_AND_DECAY.at(severity, x.shape[-2])
        every = max(1, unit["field"].shape[-1] // _COARSE)
        coarse = _plasma(unit["field"][:, ::every, ::every], decay.view(-1, 1, 1))
        return in_blocks(self._some, x, {**unit, "coarse": coarse}, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        light, decay = (per_image(each) for each in _LIGHT_AND_DECAY.at(severity, x.shape[-2]))
        heights = _plasma(unit["field"], decay.view(-1, 1, 1), unit["coarse"]).unsqueeze(1)
        low, high = heights.amin(dim=(2, 3), keepdim=True), heights.amax(dim=(2, 3), keepdim=True)
        largest = x.amax(dim=(1, 2, 3), keepdim=True)
        kept = largest / (largest + light).clamp_min(_FLAT)
        scale = light * kept / (high - low).clamp_min(_FLAT)
        fog = torch.addcmul(-low * scale, heights[:, :, : x.shape[2], : x.shape[3]], scale)
        return torch.addcmul(fog, x, kept)


def _plasma(field: Tensor, decay: Tensor, heights: Tensor | None = None) -> Tensor:
    """Diamond-square heights (B, M, M) on a torus; the first point is 0, each other one has its number in `field`.

    `heights`: those of every so many rows and columns, where they are known.
    """
    heights = torch.zeros_like(field[:, :1, :1]) if heights is None else heights
    known = heights.shape[-1]
    step, size = field.shape[-1] // known, decay ** (-2 * math.log2(known))
    while step > 1:
        half = step // 2
        across, upright = torch.lerp(heights, heights.roll(-1, 2), 0.5), torch.lerp(heights, heights.roll(-1, 1), 0.5)
        middle = torch.lerp(across, across.roll(-1, 1), 0.5).addcmul_(field[:, half::step, half::step], size)
        beside = torch.lerp(middle, middle.roll(1, 1), 0.5).lerp_(across, 0.5)
        below = torch.lerp(middle, middle.roll(1, 2), 0.5).lerp_(upright, 0.5)
        finer = field.new_empty(len(field), 2 * heights.shape[1], 2 * heights.shape[2])
        finer[:, ::2, ::2], finer[:, 1::2, 1::2] = heights, middle
        finer[:, ::2, 1::2] = beside.addcmul_(field[:, ::step, half::step], size)
        finer[:, 1::2, ::2] = below.addcmul_(field[:, half::step, ::step], size)
        heights, size, step = finer, size / (decay * decay), half
    return heights
