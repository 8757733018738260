"""L2: any change of Euclidean norm at most s / 255."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.core.errors import SemconError
from semcon.imaging import per_image
from semcon.keyed import Keys


@dataclass(frozen=True)
class L2(Perturbation):
    """Add s / 255 u, u of Euclidean norm at most 1 over the whole image, clipped. A search over u is PGD.

    Drawn uniformly in the ball: so many dimensions put nearly all of it at the surface. What a severity looks like
    depends on the image's size, since the norm is over all its values. Source: Madry et al., arXiv 1706.06083.
    """

    family = "additive_ball"
    unit = "norm over the whole image, 1/255"
    source = "arXiv 1706.06083"
    parameters = "ball"
    ladder = (64.0, 128.0, 256.0, 512.0, 1024.0)

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, C, H, W) of norm below 1."""
        direction = keys.normal("field", tuple(like.shape[1:])).to(like)
        radius = keys.uniform("radius").to(like) ** (1 / direction[0].numel())
        norm = torch.linalg.vector_norm(direction, dim=(1, 2, 3))
        return {"field": direction.mul_(per_image(radius / norm))}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x + s / 255 u, clipped."""
        return torch.addcmul(x, unit["field"], per_image(severity / 255)).clamp_(0, 1)

    def check_severity(self, severity: float) -> float:
        """As for all; besides, a value that was meant as a share of 1 is refused."""
        if 0 < severity < 0.1:
            meant = max(1, round(severity * 255))
            raise SemconError(f"severity of l2 is {severity:g}, but the unit is 1/255: did you mean {meant}?")
        return super().check_severity(severity)
