"""Contrast as a common corruption: every channel towards its own mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_KEPT = Published(
    identity=(1.0,),
    levels={
        32: ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
        64: ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
        224: ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
    },
)


@dataclass(frozen=True)
class CorruptionContrast(Perturbation):
    """Multiply distances from each channel's mean by c: from 0.4 to 0.05 at 224 px, 0.75 to 0.15 at 32 px.

    `contrast` keeps the mean luminance instead, and raises contrast too. Source: Hendrycks and Dietterich,
    arXiv 1903.12261.
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
        """m + c (x - m), m the mean of the channel."""
        (kept,) = _KEPT.at(severity, x.shape[-2])
        return torch.lerp(x.mean(dim=(2, 3), keepdim=True), x, per_image(kept)).clamp_(0, 1)
