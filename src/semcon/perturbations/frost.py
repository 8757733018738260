"""Frost: ice crystals on the lens, grown rather than photographed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import LARGE_BLOCK, in_blocks
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published, between_sizes

_IMAGE_AND_FROST = Published(
    identity=(1.0, 0.0),
    levels={
        32: ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        64: ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
        224: ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    },
)
# Measured on the five published pictures: mean colour, spread of grey within a crop, spread of the crops' means. Chosen
# to look like them: how much of the spread are crystals rather than clouds, and whether they are lighter (1) or
# darker (-1) than their ground.
_PICTURES = (
    (0.313, 0.585, 0.648, 0.062, 0.037, 0.4, 1.0),
    (0.774, 0.791, 0.826, 0.079, 0.026, 0.8, -1.0),
    (0.774, 0.791, 0.826, 0.079, 0.026, 0.8, -1.0),
    (0.566, 0.623, 0.674, 0.103, 0.027, 0.95, 1.0),
    (0.398, 0.443, 0.489, 0.139, 0.051, 0.8, 1.0),
)
_SPAN = {32: ((160.0,),), 64: ((213.0,),), 224: ((224.0,),)}  # how many of a picture's pixels a canvas is high
_ROWS, _MOST_COLUMNS = 4, 16  # of crystals
_SPOKES, _RINGS, _RING = 64, 12, 12.0  # needles around a seed, and lengths of 12 pixels of them
_COARSE, _FINE = 5, 20  # sides of the grids of a cloud
_UNEVEN = 0.4  # how much of a cloud is fine
_BEND = 5.0  # pixels by which clouds bend the needles
_STRAY = 0.7  # of a cell, how far a seed is from its middle
_MEAN_CRYSTAL, _OF_CRYSTALS, _OF_CLOUDS = 0.527, 0.411, 0.505  # mean and spreads, measured


@dataclass(frozen=True)
class Frost(Perturbation):
    """a x + b f, f a picture of frost: at 224 px a falls from 1 to 0.6 and b grows from 0.4 to 0.75.

    The published f are crops of five photographs. Here needles radiate from seeds, a cell of the plane for each, and
    clouds lie over them, in the colours and spreads of those photographs, drawn with equal chance. Needles are as large
    as in the published crops, which show 160, 213 and 224 pixels of a picture at 32, 64 and 224 px; above 224 px they
    grow with the image. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "weather"
    unit = UNIT
    source = SOURCE
    parameters = "unbounded"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    parameter_gradient = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`picture` and `tone`: (B,), which and how light; `seeds`, `needles`, `coarse`, `fine`: what grows on it."""
        columns = min(_MOST_COLUMNS, max(1, round(_ROWS * like.shape[3] / like.shape[2])))
        unit = {name: keys.signed(name) for name in ("picture", "tone")}
        unit["seeds"] = keys.signed("seeds", (2, _ROWS, columns))
        unit["needles"] = keys.normal("needles", (_ROWS * columns * _RINGS, _SPOKES))
        unit["coarse"] = keys.signed("coarse", (2, _COARSE, _COARSE))
        unit["fine"] = keys.signed("fine", (2, _FINE, _FINE))
        return {name: value.to(like) for name, value in unit.items()}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """a x + b f, clipped."""
        return in_blocks(self._some, x, unit, severity, clip=True, block=LARGE_BLOCK)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        unit = {name: value.detach() for name, value in unit.items()}
        kept, frost = _IMAGE_AND_FROST.at(severity, x.shape[-2])
        table = x.new_tensor(_PICTURES)
        facts = table[((unit["picture"] + 1) * (len(table) / 2)).long().clamp_max(len(table) - 1)]
        within, between, share, sign = facts[:, 3:].unbind(1)
        colour = facts[:, :3] + (math.sqrt(3) * unit["tone"] * between)[:, None]
        shade = _shade(unit, x.shape[2:], share, sign)
        out = (x * per_image(kept)).addcmul_(shade, per_image(within * frost))
        return out.add_((colour * frost[:, None])[:, :, None, None])


def _shade(unit: Unit, size: tuple[int, ...], share: Tensor, sign: Tensor) -> Tensor:
    """Crystals and clouds mixed, (B, 1, H, W) of mean 0 and spread 1."""
    sizes = ((_FINE, size[0]), (_FINE, size[1]), (_COARSE, _FINE))
    rows, columns, widened = (_smooth(*each, unit["fine"].dtype).to(unit["fine"]) for each in sizes)
    clouds = rows @ (widened @ unit["coarse"] @ widened.mT + _UNEVEN * unit["fine"]) @ columns.mT
    crystals = _crystals(unit["seeds"], unit["needles"], clouds)
    weight = per_image(sign * share / _OF_CRYSTALS)
    shade = crystals.sub_(_MEAN_CRYSTAL).mul_(weight)
    return shade.addcmul_(clouds[:, :1], per_image((1 - share * share).sqrt() / _OF_CLOUDS))


@cache
def _smooth(knots: int, size: int, dtype: torch.dtype) -> Tensor:
    """The cubic curve through equidistant values at `size` places, as a matrix (size, knots)."""
    eye = torch.eye(knots, dtype=dtype)
    return F.interpolate(eye[None, None], (size, knots), mode="bicubic", align_corners=True)[0, 0]


def _crystals(seeds: Tensor, needles: Tensor, bend: Tensor) -> Tensor:
    """The size of the noise along needles, (B, 1, H, W)."""
    height = bend.shape[2]
    (span,) = between_sizes(_SPAN, height)[0]
    nearest, down, across = _cells(seeds, bend.shape[2:], span / height)
    down.add_(bend[:, 0], alpha=_BEND)
    across.add_(bend[:, 1], alpha=_BEND)
    ring = (down * down).addcmul_(across, across).sqrt_().mul_(1 / _RING).clamp_max_(_RINGS - 1.01)
    place = torch.empty(*ring.shape, 2, dtype=ring.dtype, device=ring.device)
    place[..., 0] = torch.atan2(down, across).mul_(1 / math.pi)
    place[..., 1] = ring.add_(nearest, alpha=_RINGS).mul_(2 / (needles.shape[1] - 1)).sub_(1)
    closed = torch.cat((needles, needles[..., :1]), dim=2).unsqueeze(1)
    return F.grid_sample(closed, place, align_corners=True).abs_()


def _cells(seeds: Tensor, size: tuple[int, ...], scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Which seed is nearest to each pixel, and how far down and across from it the pixel is, in pixels of a picture."""
    rows, columns = seeds.shape[2:]
    lines, places = (_middles(side, seeds) * scale for side in size)
    top = ((_middles(rows, seeds)[:, None] + _STRAY * seeds[:, 0]) * (size[0] * scale / rows)).flatten(1)
    left = ((_middles(columns, seeds) + _STRAY * seeds[:, 1]) * (size[1] * scale / columns)).flatten(1)
    farthest = 1.2 * scale * scale * (size[0] ** 2 + size[1] ** 2)
    nearest = _nearest((lines - top[:, :, None]).square_() / farthest, (places - left[:, :, None]).square_() / farthest)
    flat = nearest.flatten(1)
    down, across = (seed.gather(1, flat).view_as(nearest).neg_() for seed in (top, left))
    return nearest, down.add_(lines[:, None]), across.add_(places)


def _nearest(down: Tensor, across: Tensor) -> Tensor:
    """The seed with the least sum of squares, (B, S, H) and (B, S, W) below 1 -> (B, H, W).

    By whole numbers whose last bits are the seed: the smallest is found without a comparison for each.
    """
    count, bits = down.shape[1], (down.shape[1] - 1).bit_length()
    down, across = ((square * 2 ** (30 - bits)).int() << bits for square in (down, across))
    best = down[:, 0, :, None] + across[:, 0, None]
    spare = torch.empty_like(best)
    for seed in range(1, count):
        torch.add(down[:, seed, :, None], across[:, seed, None] + seed, out=spare)
        torch.minimum(best, spare, out=best)
    return best.bitwise_and_((1 << bits) - 1).long()


def _middles(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device) + 0.5
