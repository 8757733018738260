"""Impulse noise: single values turned to 1 or 0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_SHARE = Published(
    identity=(0.0,),
    levels={
        32: ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
        64: ((0.01,), (0.02,), (0.05,), (0.08,), (0.14,)),
        224: ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
    },
)


@dataclass(frozen=True)
class ImpulseNoise(Perturbation):
    """Turn a share of the values to 1 or 0 with equal chance, every channel by itself: 3 to 27 % of them at 224 px.

    A value hit at one level is hit, and looks the same, at every higher one. `salt_and_pepper` hits all channels of a
    pixel together. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "noise"
    unit = UNIT
    source = SOURCE
    parameters = "unbounded"
    ladder = LEVELS
    maximum = 5.0
    parameter_gradient = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, C, H, W) in (-1, 1); its size says from which share on, its sign which end."""
        return {"field": keys.signed("field", tuple(like.shape[1:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """1 where 0 < u < p, 0 where -p < u <= 0, x elsewhere."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        (share,) = _SHARE.at(severity.detach(), x.shape[-2])
        field = unit["field"].detach()
        hit = field.abs().lt_(per_image(share))  # 0 or 1, as numbers
        return torch.lerp(x, field.clone().gt_(0), hit)
