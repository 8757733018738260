"""High-pass filter: coarse shape and colour taken away."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys
from semcon.spectrum import low_frequencies


@dataclass(frozen=True)
class HighPass(Perturbation):
    """Keep the high frequencies and the mean colour: of the radius of the spectrum, the inner share s is removed.

    At 1 only the mean colour is left, which stays so that the result keeps its brightness and hardly leaves [0, 1].
    Photographs have most of their contrast at the lowest frequencies: on a canvas of 32 px the severities 0.05, 0.1
    and 0.2 remove about 1, 2 and 4.5 cycles per image. `low_pass` at 1 - s keeps what this removes.
    """

    family = "frequency"
    unit = "share of the frequency radius removed, from the lowest up"
    source = "Yin et al., arXiv 1906.08988; Wang et al., arXiv 1905.13545"
    parameters = "fixed"
    ladder = (0.05, 0.1, 0.2, 0.35, 0.5)
    maximum = 1.0
    monotone = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """The part of x at radii above s, and its mean."""
        return (x - low_frequencies(x, severity) + x.mean(dim=(2, 3), keepdim=True)).clamp(0, 1)
