"""Salt and pepper: single pixels turned white or black."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class SaltAndPepper(Perturbation):
    """Turn s per cent of the pixels white or black, with equal chance, all channels together.

    A pixel hit at one severity is hit, and looks the same, at every higher one. Source: the impulse noise of
    Hendrycks and Dietterich, arXiv 1903.12261, per pixel instead of per channel.
    """

    family = "noise"
    unit = "per cent of the pixels"
    source = "arXiv 1903.12261 (impulse noise), per pixel"
    parameters = "unbounded"
    ladder = (0.2, 0.5, 1.5, 4.0, 10.0)
    maximum = 100.0
    parameter_gradient = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, 1, H, W) in (-1, 1); its size says from which severity on, its sign which colour."""
        return {"field": keys.signed("field", (1, *like.shape[2:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """White where 0 < u < s / 100, black where -s / 100 < u <= 0, x elsewhere."""
        field = unit["field"].detach()
        hit = field.abs() < per_image(severity / 100)
        return torch.where(hit, (field > 0).to(x), x)
