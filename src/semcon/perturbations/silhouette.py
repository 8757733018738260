"""Silhouette: the object's outline and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit, object_mask
from semcon.keyed import Keys


@dataclass(frozen=True)
class Silhouette(Perturbation):
    """Fill the object with one colour on a plain ground: its outline stays, texture, colour and background are lost.

    Needs masks of the objects. `fill` and `ground`: grey values in [0, 1], black on white.
    """

    fill: float = 0.0
    ground: float = 1.0

    family = "shape_and_texture"
    unit = "0 or 1"
    source = "Geirhos et al., arXiv 1811.12231"
    kind = "binary"
    parameters = "fixed"
    ladder = (1,)
    maximum = 1.0
    image_gradient = False
    default = False
    needs_mask = True

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """`fill` inside the mask, `ground` outside."""
        mask = object_mask(context, self).to(x)
        return torch.lerp(x.new_tensor(self.ground), x.new_tensor(self.fill), mask).expand_as(x).contiguous()
