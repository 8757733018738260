"""Brightness as a common corruption: the value of HSV raised by a constant."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_RAISE = Published(
    identity=(0.0,),
    levels={
        32: ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
        64: ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
        224: ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
    },
)


@dataclass(frozen=True)
class CorruptionBrightness(Perturbation):
    """Add c to the value v of HSV (the largest channel), at most to 1; hue and saturation stay.

    c runs from 0.1 to 0.5 at 224 px, 0.05 to 0.3 at 32 px. `brightness` multiplies instead, and darkens too.
    Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "photometric"
    unit = UNIT
    source = SOURCE
    parameters = "fixed"
    ladder = LEVELS
    maximum = 5.0
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x w / v with w = min(v + c, 1); black becomes grey of value c."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        (shift,) = _RAISE.at(severity, x.shape[-2])
        red, green, blue = x.split(1, dim=1)
        value = torch.maximum(torch.maximum(red, green), blue)
        raised = (value + per_image(shift)).clamp_max(1)
        ratio = raised / value.clamp_min(1e-6)
        black = raised - value * ratio
        return torch.addcmul(black, x, ratio)
