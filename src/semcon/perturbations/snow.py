"""Snow: flakes driven by the wind, and a lighter scene."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks, magnify, streak
from semcon.imaging import luminance, per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_SMALL = (
    (0.1, 0.2, 1, 0.6, 8, 3), (0.1, 0.2, 1, 0.5, 10, 4), (0.15, 0.3, 1.75, 0.55, 10, 4), (0.25, 0.3, 2.25, 0.6, 12, 6),
    (0.3, 0.3, 1.25, 0.65, 14, 12),
)  # fmt: skip
_LARGE = (
    (0.1, 0.3, 3, 0.5, 10, 4), (0.2, 0.3, 2, 0.5, 12, 4), (0.55, 0.3, 4, 0.9, 12, 8), (0.55, 0.3, 4.5, 0.85, 12, 8),
    (0.55, 0.3, 2.5, 0.85, 12, 12),
)  # fmt: skip
_KEPT = {32: (0.95, 0.9, 0.9, 0.85, 0.8), 64: (0.8, 0.8, 0.7, 0.65, 0.6), 224: (0.8, 0.7, 0.7, 0.65, 0.55)}
# The mean, spread and size of flakes, the least light, radius and sigma of their smear; what is kept of the scene; and
# the snow that falls, all of it from level 1 on.
_SNOW = Published(
    identity=(None, None, None, None, None, None, 1.0, 0.0),
    levels={
        size: [(*row, kept, 1.0) for row, kept in zip(rows, _KEPT[size], strict=True)]
        for size, rows in {32: _SMALL, 64: _SMALL, 224: _LARGE}.items()
    },
)


@dataclass(frozen=True)
class Snow(Perturbation):
    """Lighten the scene, and add flakes twice, once upside down: magnified noise above a threshold, smeared downwards.

    The smear is that of `motion_blur`, at an angle of 45 to 135 degrees. Between levels 0 and 1 the flakes of level 1
    fade in. Flakes are not rounded to 8 bits. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "weather"
    unit = UNIT
    source = SOURCE
    parameters = "unbounded"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    parameter_gradient = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, H, W), standard normal; `direction`: (B,), of 45 degrees from straight down."""
        field = keys.normal("field", tuple(like.shape[2:])).to(like)
        return {"field": field, "direction": keys.signed("direction").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """k x + (1 - k) max(x, 1.5 grey + 0.5) + flakes + flakes turned by 180 degrees."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        *flakes, kept, falling = _SNOW.at(severity.detach(), x.shape[-2])
        layer = _flakes(unit["field"].detach(), unit["direction"].detach(), flakes)
        layer = (layer + layer.flip((2, 3))).mul_(per_image(falling))
        light = torch.maximum(x, luminance(x) * 1.5 + 0.5)
        return light.lerp_(x, per_image(kept)).add_(layer)


def _flakes(field: Tensor, direction: Tensor, parameters: list[Tensor]) -> Tensor:
    """(B, 1, H, W) in [0, 1]."""
    mean, spread, size, least, radius, sigma = parameters
    layer = magnify(field.unsqueeze(1), size).mul_(per_image(spread)).add_(per_image(mean))
    layer.mul_(torch.ge(layer, per_image(least), out=torch.empty_like(layer))).clamp_(0, 1)
    return streak(layer, radius, sigma, direction * 45 - 90)
