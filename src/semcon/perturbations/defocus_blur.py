"""Defocus blur: every point a disc."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import convolve
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_RADIUS_AND_SOFTNESS = Published(
    identity=(0.0, 0.0),
    levels={
        32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        64: ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    },
)
_WIDE = 8.0  # a radius, above which the edge of the disc is softened over five pixels in place of three


@dataclass(frozen=True)
class DefocusBlur(Perturbation):
    """Convolve with a disc of radius r whose edge a Gaussian of standard deviation d softens; edges are mirrored.

    r runs from 3 to 10 pixels at 224 px, 0.3 to 1.5 at 32 px, where the first three levels are the softening alone. As
    published, discs of 8 and 10 pixels are softened within the square about them, so that their sum is above 1. Between
    two levels the two kernels are mixed. Source: Hendrycks and Dietterich, arXiv 1903.12261.
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
        """x * K, K of the level."""
        kernels = _kernels(x.shape[-2]).to(x, copy=True)  # one made in inference mode cannot be recorded
        if bool((severity == severity[0]).all()):
            severity = severity[:1]
        below = severity.detach().floor().clamp(0, 4).long()
        kernel = torch.lerp(kernels[below], kernels[below + 1], (severity - below).view(-1, 1, 1))
        reach = kernel.shape[-1] // 2
        used = int((kernel.detach().amax(dim=(0, 1)) > 0).nonzero().max()) - reach
        return convolve(x, kernel[:, reach - used : reach + used + 1, reach - used : reach + used + 1], clip=True)


@cache
def _kernels(height: int) -> Tensor:
    """Of levels 0 to 5, (6, K, K)."""
    rows = _RADIUS_AND_SOFTNESS.rows(height)
    reach = max(_reach(radius) for radius, _ in rows)
    return torch.stack([_kernel(radius, softness, reach) for radius, softness in rows])


def _reach(radius: float) -> int:
    """Of the square that a disc is drawn in."""
    return max(int(_WIDE), math.ceil(radius))


def _kernel(radius: float, softness: float, reach: int) -> Tensor:
    """A disc of sum 1, softened within its square, of whose edge it is mirrored: its sum is then not quite 1."""
    own = _reach(radius)
    place = torch.arange(-own, own + 1, dtype=torch.float64)
    disc = (place**2 + place[:, None] ** 2 <= radius**2).double()
    near = 2 if radius > _WIDE else 1
    weights = torch.exp(-0.5 * (torch.arange(-near, near + 1, dtype=disc.dtype) / max(softness, 1e-3)) ** 2)
    weights = weights / weights.sum()
    wide = F.pad((disc / disc.sum())[None, None], (near,) * 4, mode="reflect")
    return F.pad(F.conv2d(wide, (weights * weights[:, None])[None, None])[0, 0], (reach - own,) * 4)
