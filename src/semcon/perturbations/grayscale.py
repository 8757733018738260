"""Grayscale: colour taken away."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import luminance, per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class Grayscale(Perturbation):
    """Blend towards the grey image: severity 0 keeps the colours, 1 leaves luminance alone. No random part."""

    family = "photometric"
    unit = "blend, 0 to 1"
    source = "torchvision.transforms.functional.rgb_to_grayscale"
    parameters = "fixed"
    ladder = (0.1, 0.25, 0.5, 0.75, 1.0)
    maximum = 1.0

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """(1 - s) x + s l; l: luminance of the pixel."""
        return torch.lerp(x, luminance(x), per_image(severity)).clamp_(0, 1)
