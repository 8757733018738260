"""Low-pass filter: fine detail taken away."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys
from semcon.spectrum import low_frequencies


@dataclass(frozen=True)
class LowPass(Perturbation):
    """Keep the low frequencies: of the radius of the spectrum, the outer share s is removed.

    At 1 only the mean colour is left. The radius runs to the corner of the spectrum, and the Nyquist frequency along
    one side lies at 0.71: on a canvas of 32 px the severities 0.3, 0.5 and 0.65 keep about 16, 11 and 8 cycles per
    image. `high_pass` at 1 - s keeps what this removes.
    """

    family = "frequency"
    unit = "share of the frequency radius removed, from the highest down"
    source = "Yin et al., arXiv 1906.08988; Wang et al., arXiv 1905.13545"
    parameters = "fixed"
    ladder = (0.3, 0.5, 0.65, 0.8, 0.9)
    maximum = 1.0
    monotone = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """The part of x at radii up to 1 - s."""
        return low_frequencies(x, 1 - severity).clamp(0, 1)
