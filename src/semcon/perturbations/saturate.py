"""Saturate: the saturation of HSV taken away, then exaggerated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_FACTOR_AND_SHIFT = Published(
    identity=(1.0, 0.0),
    levels={
        32: ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        64: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
        224: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    },
)


@dataclass(frozen=True)
class Saturate(Perturbation):
    """Replace the saturation of HSV by a s + b, clipped; value and hue stay, and grey counts as red.

    Levels 1 and 2 fade (a = 0.3, 0.1), levels 3 to 5 exaggerate (at 224 px 2 s, 5 s + 0.1, 20 s + 0.2): halfway between
    2 and 3 the image is almost untouched. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "photometric"
    unit = UNIT
    source = SOURCE
    parameters = "fixed"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """v (1 - s' k), k the place of a channel between the largest (0) and the smallest (1)."""
        return in_blocks(self._some, x, unit, severity)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        factor, shift = (per_image(each) for each in _FACTOR_AND_SHIFT.at(severity, x.shape[-2]))
        value, least = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
        chroma = value - least
        saturation = (chroma / value.clamp_min(1e-6) * factor + shift).clamp(0, 1)
        red = x.new_tensor([0.0, 1.0, 1.0]).view(1, 3, 1, 1)
        place = torch.where(chroma > 0, (value - x) / chroma.clamp_min(1e-12), red)
        return (value - value * saturation * place).clamp_(0, 1)
