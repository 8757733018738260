"""Horizontal flip: left and right exchanged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class HorizontalFlip(Perturbation):
    """Mirror the image left to right at severity 1. No random part."""

    family = "geometry"
    unit = "0 or 1"
    source = "definition"
    kind = "binary"
    parameters = "fixed"
    ladder = (1,)
    maximum = 1
    moves_pixels = True

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """The columns in reverse."""
        return x.flip(-1)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """The map mirrored along with the image."""
        return torch.where(per_image(severity == 0), aligned, aligned.flip(-1))
