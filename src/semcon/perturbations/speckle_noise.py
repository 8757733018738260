"""Speckle noise: noise in proportion to the light."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_SPREAD = Published(
    identity=(0.0,),
    levels={
        32: ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),
        64: ((0.15,), (0.2,), (0.25,), (0.3,), (0.35,)),
        224: ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,)),
    },
)


@dataclass(frozen=True)
class SpeckleNoise(Perturbation):
    """Add c n x, n standard normal per value, clipped: c from 0.15 to 0.6 at 224 px, 0.06 to 0.2 at 32 px.

    Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "noise"
    unit = UNIT
    source = SOURCE
    parameters = "unbounded"
    ladder = LEVELS
    maximum = 5.0
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, C, H, W), standard normal."""
        return {"field": keys.normal("field", tuple(like.shape[1:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x + c n x, clipped."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        (spread,) = _SPREAD.at(severity, x.shape[-2])
        return torch.addcmul(x, unit["field"] * per_image(spread), x)
