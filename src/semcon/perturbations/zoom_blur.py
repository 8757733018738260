"""Zoom blur: the lens zoomed while the shutter was open."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks, magnify
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_FARTHEST_AND_STEP = Published(
    identity=(0.0, None),
    levels={
        32: ((0.06, 0.01), (0.11, 0.01), (0.15, 0.01), (0.2, 0.01), (0.25, 0.01)),
        64: ((0.06, 0.01), (0.11, 0.01), (0.15, 0.01), (0.2, 0.01), (0.25, 0.01)),
        224: ((0.11, 0.01), (0.15, 0.01), (0.2, 0.02), (0.24, 0.02), (0.3, 0.03)),
    },
)
_ABOVE = 1e-6  # published factors are sums, a little above 1.25 and so on: halves of a pixel are rounded up


@dataclass(frozen=True)
class ZoomBlur(Perturbation):
    """The mean of the image and of its magnifications by 1, 1 + h, 1 + 2 h, ... 1 + z.

    z runs from 0.11 to 0.3 at 224 px, in steps h of 0.01 to 0.03; 0.06 to 0.25 in steps of 0.01 at 32 px. Where z / h
    is no whole number a last magnification counts in part. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "blur_and_coding"
    unit = UNIT
    source = SOURCE
    parameters = "fixed"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """(x + sum of w_j x magnified by 1 + j h) / (1 + sum of w_j)."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        farthest, step = _FARTHEST_AND_STEP.at(severity.detach(), x.shape[-2])
        steps = farthest / step
        out = x * 2
        for number in range(1, int((steps - 1e-3).max().ceil()) + 1):
            weight = (steps - (number - 1)).clamp(0, 1)
            out = out.addcmul_(magnify(x, 1 + number * step + _ABOVE), per_image(weight))
        return (out / per_image(2 + steps))
