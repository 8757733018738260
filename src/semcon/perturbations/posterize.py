"""Posterize: fewer bits a channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Posterize(Perturbation):
    """Keep the 8 - s highest of 8 bits of every channel, after rounding to 8 bits. Source: PIL.ImageOps.posterize.

    Severity 0 leaves the image untouched, unrounded. Constant almost everywhere, so no gradient.
    """

    family = "blur_and_coding"
    unit = "8 - bits"
    source = "PIL.ImageOps.posterize"
    kind = "discrete"
    parameters = "fixed"
    ladder = (2, 3, 4, 5, 6)
    maximum = 7
    image_gradient = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """The largest multiple of 2 ** s that 255 x reaches, / 255."""
        step = per_image(torch.exp2(severity.round()))
        return (x.detach() * 255).round_().div_(step).floor_().mul_(step / 255).clamp_(0, 1)
