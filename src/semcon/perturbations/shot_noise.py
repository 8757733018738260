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
_FEW = 16.0  # photons, below which quantiles are looked up in tables
_STEPS, _STARTS, _MOST = 64, 256, 48  # rates in a photon; parts of all chances; counts that are told apart
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
    version = 2  # rates of 10 to 16 photons by tables

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`field`: (B, C, H, W), uniform in (-1, 1)."""
        return {"field": keys.signed("field", tuple(like.shape[1:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """Q(c x) / c, clipped, Q the Poisson quantile at each value's number."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        (grain,) = _GRAIN.at(severity.detach(), x.shape[-2])
        photons = per_image(grain.clamp_min(1e-6) ** -2)
        return poisson_quantile(unit["field"].detach(), x.detach() * photons) / photons


def poisson_quantile(place: Tensor, rate: Tensor) -> Tensor:
    """The smallest k with P(Poisson(rate) <= k) >= (1 + place) / 2, elementwise; `place` in (-1, 1).

    Below 16 by tables, the rate rounded to 1 / 64; above by a normal approximation to the order of 1 / rate, which is
    another whole number for one value in 4000 at a rate of 16, one in 15 000 at 30. Source: Giles, ACM TOMS 42, 2016.
    """
    place, rate = torch.broadcast_tensors(place, rate)
    if float(rate.max()) < _FEW:
        return _counted(place, rate)
    few = rate < _FEW
    many = few.numel() - int(few.sum())
    if 2 * many <= few.numel():  # of all values the commoner kind, then what is wrong
        usual, other, rest = _counted, _approximated, few.logical_not_()
    else:
        usual, other, rest = _approximated, _counted, few
    count, rows = usual(place, rate), rest.flatten().nonzero().flatten()
    count.view(-1)[rows] = other(place.flatten()[rows], rate.flatten()[rows])
    return count


def _approximated(place: Tensor, rate: Tensor) -> Tensor:
    """From quantiles of the normal distribution; for rates from 16 on."""
    normal = torch.erfinv(place).mul_(math.sqrt(2))
    root = rate.clamp_min(_FEW).sqrt_()
    square = normal * normal
    third = (square / 270).add_(7 / 810).mul_(square).sub_(8 / 405)
    count = third.div_(root).add_((square / -72).sub_(1 / 36).mul_(normal)).div_(root)
    count = count.add_(square, alpha=1 / 6).add_(1 / 3).addcmul_(root, normal)
    return count.add_(rate).floor_().clamp_min_(0).contiguous()


def _counted(place: Tensor, rate: Tensor) -> Tensor:
    """From tables of chances at rates in steps of 1 / 64; for rates up to 16.

    Places in tables are found in floating point, where they are exact: a CPU makes long whole numbers slowly.
    """
    chances, starts = (table.flatten() for table in _tables(place.device))
    row = rate.flatten().clamp_max(_FEW).mul_(_STEPS).round_()
    chance = ((1 + place.flatten()) / 2).clamp_max_(_TAIL)
    count = starts.index_select(0, (chance * _STARTS).floor_().add_(row, alpha=_STARTS).int()).to(row)
    row, chance = row.mul_(_MOST), chance.float()
    reached = chances.index_select(0, (row + count).int())
    count.add_(torch.lt(reached, chance, out=torch.empty_like(reached)))
    late = (chances.index_select(0, (row + count).int()) < chance).nonzero().flatten()
    while len(late) > 0:
        count[late] += 1
        late = late[chances.index_select(0, (row[late] + count[late]).int()) < chance[late]]
    return count.view_as(rate)


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
