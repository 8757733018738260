"""Gaussian blur: out of focus."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon import imaging
from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys


@dataclass(frozen=True)
class GaussianBlur(Perturbation):
    """Convolve with a Gaussian of s H / 224 pixels, mirrored at the edges: s counts pixels of a 224 px canvas.

    The discrete Gaussian (Lindeberg, IEEE PAMI 12(3), 1990), whose variance is exact also far below one pixel, as it
    is on small canvases; from about two pixels on it is what other libraries sample.
    """

    family = "blur_and_coding"
    unit = "standard deviation in pixels of a 224 px canvas"
    source = "Lindeberg 1990, discrete Gaussian"
    parameters = "fixed"
    ladder = (0.5, 1.0, 2.0, 4.0, 6.0)
    maximum = 224.0

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x * G; smooth in s."""
        return imaging.gaussian_blur(x, severity * (x.shape[-2] / 224)).clamp_(0, 1)
