"""Gaussian blur as a common corruption: samples of a Gaussian, cut at four standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import LARGE_BLOCK, in_blocks, sampled_gaussian
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_SIGMA = Published(
    identity=(0.0,),
    levels={
        32: ((0.4,), (0.6,), (0.7,), (0.8,), (1,)),
        64: ((0.5,), (0.75,), (1,), (1.25,), (1.5,)),
        224: ((1,), (2,), (3,), (4,), (6,)),
    },
)


@dataclass(frozen=True)
class CorruptionGaussianBlur(Perturbation):
    """Convolve with samples of a Gaussian of 1 to 6 pixels at 224 px, 0.4 to 1 at 32 px; the edge pixels go on outside.

    `gaussian_blur` mirrors at the edges, and below one pixel has another kernel of the same variance. Source: Hendrycks
    and Dietterich, arXiv 1903.12261.
    """

    family = "blur_and_coding"
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
        """x * G, G of the level."""
        return in_blocks(self._some, x, unit, severity, clip=True, block=LARGE_BLOCK)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        (sigma,) = _SIGMA.at(severity.detach(), x.shape[-2])
        return sampled_gaussian(x, sigma)
