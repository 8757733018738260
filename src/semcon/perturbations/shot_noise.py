"""Shot noise: the grain of few photons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_GRAIN = Published(
    identity=(0.0,),
    levels={
        size: [(photons**-0.5,) for photons in row]
        for size, row in {32: (500, 250, 100, 75, 50), 64: (250, 100, 50, 30, 15), 224: (60, 25, 12, 5, 3)}.items()
    },
)
_FEW = 10.0  # photons, below which quantiles are counted one by one
_BLOCK = 1 << 15  # values worked on at once
_TAIL = 1 - 2e-6  # above it a float32 sum of chances can no longer be compared


@dataclass(frozen=True)
class ShotNoise(Perturbation):
    """Replace x by Poisson(c x) / c, clipped; c photons make white. From 60 to 3 of them at 224 px, 500 to 50 at 32 px.

    What is linear between levels and sizes is 1 / sqrt(c), the standard deviation at white. Drawn by inverse CDF: one
    uniform number per value, the same at every level. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "noise"
    unit = UNIT
    source = SOURCE
    parameters = "unbounded"
    ladder = LEVELS
    maximum = 5.0
    image_gradient = False
    parameter_gradient = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, C, H, W), uniform in (-1, 1)."""
        return {"field": keys.signed("field", tuple(like.shape[1:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """Q(c x) / c, clipped, Q the Poisson quantile at each value's number."""
        (grain,) = _GRAIN.at(severity.detach(), x.shape[-2])
        photons = per_image(grain.clamp_min(1e-6) ** -2)
        return (poisson_quantile(unit["field"].detach(), x.detach() * photons) / photons).clamp_(0, 1)


def poisson_quantile(place: Tensor, rate: Tensor) -> Tensor:
    """The smallest k with P(Poisson(rate) <= k) >= (1 + place) / 2, elementwise; `place` in (-1, 1).

    Below 10 by adding chances; above by a normal approximation to the order of 1 / rate, which is another whole number
    for one value in 2000 at a rate of 10, one in 15 000 at 30. Source: Giles, ACM TOMS 42(1), 2016.
    """
    place, rate = torch.broadcast_tensors(place, rate)
    normal = torch.erfinv(place).mul_(math.sqrt(2))
    root = rate.clamp_min(_FEW).sqrt()
    square = normal * normal
    third = (square / 270 + 7 / 810).mul_(square).sub_(8 / 405)
    count = third.div_(root).add_((square / -72 - 1 / 36).mul_(normal)).div_(root).add_(square / 6 + 1 / 3)
    count = count.addcmul_(root, normal).add_(rate).floor_().clamp_min_(0)
    few = rate < _FEW
    if few.any():
        count[few] = _counted(place[few], rate[few])
    return count


def _counted(place: Tensor, rate: Tensor) -> Tensor:
    """By adding P(0), P(1), ... (N,)."""
    chance = ((1 + place) / 2).clamp_max_(_TAIL)
    count = torch.empty_like(rate)
    block = _BLOCK if rate.device.type == "cpu" else len(rate)
    for part in (slice(start, start + block) for start in range(0, len(rate), block)):
        wanted, mean = chance[part], rate[part]
        most = int(mean.max())
        here = torch.exp(-mean)
        total, found = here.clone(), count[part].zero_()
        for k in range(1, most + 10 + 5 * math.ceil(math.sqrt(most + 1))):
            found.add_(wanted > total)
            total.add_(here.mul_(mean).div_(k))
    return count
