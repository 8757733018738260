"""Shot noise: the grain of few photons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks
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
_FEW = 10.0  # photons, below which quantiles are looked up in tables
_STEPS, _STARTS, _MOST = 64, 256, 40  # rates in a photon; parts of all chances; counts that are told apart
_RARE = 4  # where fewer values than one in four have few photons, they are picked out
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
        return in_blocks(self._some, x, unit, severity)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        (grain,) = _GRAIN.at(severity.detach(), x.shape[-2])
        photons = per_image(grain.clamp_min(1e-6) ** -2)
        return (poisson_quantile(unit["field"].detach(), x.detach() * photons) / photons).clamp_(0, 1)


def poisson_quantile(place: Tensor, rate: Tensor) -> Tensor:
    """The smallest k with P(Poisson(rate) <= k) >= (1 + place) / 2, elementwise; `place` in (-1, 1).

    Below 10 by tables, the rate rounded to 1 / 64; above by a normal approximation to the order of 1 / rate, which is
    another whole number for one value in 2000 at a rate of 10, one in 15 000 at 30. Source: Giles, ACM TOMS 42, 2016.
    """
    few = rate < _FEW
    if bool(few.all()):
        return _counted(place, rate)
    place, rate = torch.broadcast_tensors(place, rate)
    normal = torch.erfinv(place).mul_(math.sqrt(2))
    root = rate.clamp_min(_FEW).sqrt()
    square = normal * normal
    third = (square / 270 + 7 / 810).mul_(square).sub_(8 / 405)
    count = third.div_(root).add_((square / -72 - 1 / 36).mul_(normal)).div_(root).add_(square / 6 + 1 / 3)
    count = count.addcmul_(root, normal).add_(rate).floor_().clamp_min_(0).contiguous()
    if int(few.sum()) > few.numel() // _RARE:
        return torch.where(few, _counted(place, rate.clamp_max(_FEW)), count)
    rows = few.flatten().nonzero().flatten()
    count.view(-1)[rows] = _counted(place.flatten()[rows], rate.flatten()[rows])
    return count


def _counted(place: Tensor, rate: Tensor) -> Tensor:
    """From tables of chances at rates in steps of 1 / 64."""
    chances, starts = _tables(place.device)
    chance = ((1 + place) / 2).clamp_max_(_TAIL)
    row = (rate * _STEPS).round_().long()
    count = starts.take((chance * _STARTS).long().add_(row, alpha=_STARTS)).long()
    chance, row = chance.float(), row.mul_(_MOST)
    more = chances.take(row + count) < chance
    count = count.add_(more).flatten()
    late = more.flatten().nonzero().flatten()
    chance, row = chance.flatten()[late], row.flatten()[late]
    while len(late) > 0:
        more = chances.take(row + count[late]) < chance
        late, chance, row = late[more], chance[more], row[more]
        count[late] += 1
    return count.view_as(rate).to(rate)


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """P(Poisson(rate) <= k) by rate and k; the least count of all chances from n / 256 on, by rate and n."""
    rate = torch.arange(int(_FEW * _STEPS) + 1, dtype=torch.float64)[:, None] / _STEPS
    k = torch.arange(_MOST, dtype=torch.float64)
    chances = torch.exp(torch.xlogy(k, rate) - rate - torch.lgamma(k + 1)).cumsum(1)
    chances[:, -1] = 2
    edges = torch.arange(_STARTS, dtype=torch.float64).expand(len(rate), -1).contiguous()
    starts = torch.searchsorted(chances, edges / _STARTS)
    return chances.float().to(device), starts.to(device, torch.uint8)
