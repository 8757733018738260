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
_GREY = 1e-12  # a difference between channels that no image has


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
        """v + (x - v) (v s' / chroma); of grey pixels green and blue fall to v (1 - s')."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        factor, shift = (per_image(each) for each in _FACTOR_AND_SHIFT.at(severity, x.shape[-2]))
        red, green, blue = x.split(1, dim=1)
        value = torch.maximum(torch.maximum(red, green), blue)
        chroma = value - torch.minimum(torch.minimum(red, green), blue)
        most = value / chroma.clamp_min(_GREY)  # 1 / s: distances from v can grow no further
        shifted = x.device.type != "cpu" or bool((shift > 0).any())  # others would have to wait for the answer
        out = torch.lerp(value, x, torch.minimum(torch.addcmul(factor, most, shift) if shifted else factor, most))
        if shifted:
            grey = 1 - (chroma.detach() / _GREY).clamp_max(1)  # 0 or 1: comparisons take longer
            out[:, 1:].sub_(value * shift * grey)
        return out
