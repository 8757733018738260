"""Motion blur: a smear to one side."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import streak
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_RADIUS_AND_SIGMA = Published(
    identity=(0.0, None),
    levels={
        32: ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        64: ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    },
)


@dataclass(frozen=True)
class MotionBlur(Perturbation):
    """The mean of the pixels on a ray, at an angle of up to 45 degrees from the horizontal, drawn for every image.

    The ray has 2 r + 1 pixels with the weights of half a Gaussian: at 224 px r runs from 10 to 20 and sigma from 3 to
    15, at 32 px 6 to 9 and 1 to 2.5. Source: Hendrycks and Dietterich, arXiv 1903.12261, with ImageMagick's filter.
    """

    family = "blur_and_coding"
    unit = UNIT
    source = SOURCE
    parameters = "box"
    ladder = LEVELS
    maximum = 5.0
    parameter_gradient = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`direction`: (B,), of 45 degrees."""
        return {"direction": keys.signed("direction").to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x smeared along its ray."""
        radius, sigma = _RADIUS_AND_SIGMA.at(severity.detach(), x.shape[-2])
        return streak(x, radius, sigma, unit["direction"].detach() * 45).clamp_(0, 1)
