"""Spatter: drops of water on the lens, then mud."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks, mirrored, sampled_gaussian
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

# Mean, spread, sigma and least height of the liquid; strength of water, or sigma of the edge of mud.
_SMALL = ((0.62, 0.1, 0.7, 0.7), (0.65, 0.1, 0.8, 0.7), (0.65, 0.3, 1, 0.69), (0.65, 0.1, 0.7), (0.65, 0.1, 0.5))
_LIQUID = Published(
    identity=(None, None, None, None, None),
    levels={
        32: [(*row, last) for row, last in zip(
            (*_SMALL[:3], (*_SMALL[3], 0.69), (*_SMALL[4], 0.68)), (0.5, 0.5, 0.5, 0.6, 0.6), strict=True)],
        64: [(*row, last) for row, last in zip(
            (*_SMALL[:3], (*_SMALL[3], 0.68), (*_SMALL[4], 0.67)), (0.6, 0.6, 0.6, 0.6, 0.6), strict=True)],
        224: (
            (0.65, 0.3, 4, 0.69, 0.6), (0.65, 0.3, 3, 0.68, 0.6), (0.65, 0.3, 2, 0.68, 0.5), (0.65, 0.3, 1, 0.65, 1.5),
            (0.67, 0.4, 1, 0.65, 1.5),
        ),
    },
)  # fmt: skip
_WATER, _MUD = (175, 238, 238), (63, 42, 20)  # of 255
_FARTHEST = 20  # pixels from an edge, the distances that are told apart
_WEAK, _STRONG = 50.0, 150.0  # gradients of an edge, in grey levels
_LONGEST = 16  # steps by which a weak edge may go on from a strong one


@dataclass(frozen=True)
class Spatter(Perturbation):
    """Blurred noise above a threshold is liquid: levels 1 to 3 add the light of drops, 4 and 5 cover with mud.

    A drop is pale turquoise, as bright as its height times a shading by the distance from its edge, embossed from the
    upper left. Between levels 0 and 1 the water of level 1 fades in; between 3 and 4 that of level 3 fades out and the
    mud of level 4 fades in. Source: Hendrycks and Dietterich, arXiv 1903.12261; the steps of the shading are OpenCV's
    (Canny, distances up to 20 px, a flat histogram, 8 bits), with Euclidean distances for its approximate ones.
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
        """`field`: (B, H, W), standard normal."""
        return {"field": keys.normal("field", tuple(like.shape[2:])).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """(x + w (175, 238, 238) / 255) clipped, then (1 - m) of it + m (63, 42, 20) / 255."""
        return in_blocks(self._some, x, unit, severity)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        field, level, out = unit["field"].detach().unsqueeze(1), severity.detach(), x
        wet, muddy = level.clamp(0, 1) * (4 - level).clamp(0, 1), (level - 3).clamp(0, 1)
        if bool((wet > 0).any()):
            rows = wet.nonzero().flatten()
            light = x.new_zeros(len(x), 1, *x.shape[2:])
            light[rows] = _water(field[rows], level[rows].clamp(1, 3)) * per_image(wet[rows])
            out = torch.addcmul(x, light, _colour(_WATER, x)).clamp_(0, 1)
        if bool((muddy > 0).any()):
            rows = muddy.nonzero().flatten()
            cover = x.new_zeros(len(x), 1, *x.shape[2:])
            cover[rows] = _mud(field[rows], level[rows].clamp(4, 5)) * per_image(muddy[rows])
            out = torch.lerp(out, _colour(_MUD, x), cover)
        return out.clamp(0, 1) if out is x else out.clamp_(0, 1)


def _colour(channels: tuple[int, ...], like: Tensor) -> Tensor:
    return like.new_tensor(channels).div_(255).view(1, 3, 1, 1)


def _liquid(field: Tensor, mean: Tensor, spread: Tensor, sigma: Tensor) -> Tensor:
    """Heights before the threshold."""
    return sampled_gaussian(field, sigma).mul_(per_image(spread)).add_(per_image(mean))


def _mud(field: Tensor, level: Tensor) -> Tensor:
    """How much of each pixel is covered: at least 0.8, or not at all."""
    mean, spread, sigma, least, edge = _LIQUID.at(level, field.shape[-2])
    cover = sampled_gaussian(_above(_liquid(field, mean, spread, sigma), per_image(least)), edge)
    return cover * _at_least(cover, cover.new_tensor(0.8))


def _water(field: Tensor, level: Tensor) -> Tensor:
    """How much light a drop adds to each pixel, at most its strength."""
    mean, spread, sigma, least, strength = _LIQUID.at(level, field.shape[-2])
    heights = _liquid(field, mean, spread, sigma)
    heights = heights.mul_(_at_least(heights, per_image(least))).mul_(255).floor_()
    shade = _boxed(_distance(_edges(heights))).add_(1e-3).floor_()
    light = heights * _boxed(_embossed(_flattened(shade))).round_()
    most = light.amax(dim=(2, 3), keepdim=True)
    return light * (per_image(strength) / most.clamp_min(1))


def _above(x: Tensor, y: Tensor) -> Tensor:
    """1 where x > y, else 0, as numbers of the type of x: a CPU makes truth values one by one, these many at once."""
    return torch.gt(x, y, out=torch.empty_like(x))


def _at_least(x: Tensor, y: Tensor) -> Tensor:
    """1 where x >= y, else 0."""
    return torch.ge(x, y, out=torch.empty_like(x))


def _edges(heights: Tensor) -> Tensor:
    """1 where Canny finds an edge of whole heights, else 0, (B, 1, H, W) uint8. Source: Canny, IEEE PAMI 8(6), 1986."""
    wide = F.pad(heights, (1, 1, 1, 1), mode="replicate")
    smooth = (wide[:, :, :-2] + wide[:, :, 2:]).add_(wide[:, :, 1:-1], alpha=2)
    across = smooth[..., 2:] - smooth[..., :-2]
    smooth = (wide[..., :-2] + wide[..., 2:]).add_(wide[..., 1:-1], alpha=2)
    down = smooth[:, :, 2:] - smooth[:, :, :-2]
    rising = _above(heights.new_zeros(()).expand_as(across), across * down)
    across, down = across.abs_(), down.abs_()
    steep = across + down
    beside = _beside(steep, across, down, rising)
    found = _above(steep, beside.clamp_min(_WEAK)).add_(_above(steep, beside.clamp_min(_STRONG))).to(torch.uint8)
    strong, weak = found >> 1, found.clamp_max(1)
    for _ in range(_LONGEST):
        grown = _spread(_spread(strong, 2), 3).mul_(weak)
        if not bool((grown ^ strong).any()):
            break
        strong = grown
    return strong


def _spread(found: Tensor, dim: int) -> Tensor:
    """One pixel further to both sides along a dimension."""
    out, size = found.clone(), found.shape[dim]
    out.narrow(dim, 1, size - 1).bitwise_or_(found.narrow(dim, 0, size - 1))
    out.narrow(dim, 0, size - 1).bitwise_or_(found.narrow(dim, 1, size - 1))
    return out


def _beside(steep: Tensor, across: Tensor, down: Tensor, rising: Tensor) -> Tensor:
    """The steeper neighbour along the gradient, in one of four directions; half less to the right or below.

    So a crest is above both, or as steep as the latter: whole numbers. `across` and `down`: sizes.
    """
    height, width = steep.shape[2:]
    wide = F.pad(steep, (1, 1, 1, 1))
    less = wide - 0.5

    def at(wide: Tensor, row: int, column: int) -> Tensor:
        return wide[:, :, 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    level = _above(across * math.tan(math.pi / 8), down)
    upright = _above(down, across * math.tan(3 * math.pi / 8))
    beside = torch.maximum(at(wide, -1, -1), at(wide, 1, 1))
    beside.lerp_(torch.maximum(at(wide, -1, 1), at(wide, 1, -1)), rising)
    beside.lerp_(torch.maximum(at(wide, -1, 0), at(less, 1, 0)), upright)
    return beside.lerp_(torch.maximum(at(wide, 0, -1), at(less, 0, 1)), level)


def _distance(edges: Tensor) -> Tensor:
    """Euclidean distance of every pixel from the nearest edge, at most 20."""
    far = F.pad((1 - edges.to(torch.uint8)).mul_(_FARTHEST), (_FARTHEST, _FARTHEST), value=_FARTHEST)
    for step in (1, 2, 4, 8, 5):  # along the rows, each of them further
        near = torch.minimum(far[..., : -2 * step], far[..., 2 * step :]).add_(step)
        far = torch.minimum(far[..., step:-step], near, out=near)
    best, height = far.short(), edges.shape[2]
    best *= best
    wide, pair = F.pad(best, (0, 0, _FARTHEST, _FARTHEST), value=_FARTHEST**2), torch.empty_like(best)
    for step in range(1, _FARTHEST):
        up, down = (wide.narrow(2, _FARTHEST + side * step, height) for side in (-1, 1))
        torch.minimum(best, torch.minimum(up, down, out=pair).add_(step * step), out=best)
    root = torch.arange(_FARTHEST**2 + 1, device=edges.device).sqrt()
    return root.index_select(0, best.flatten().int()).view_as(best)


def _flattened(shade: Tensor) -> Tensor:
    """Whole numbers up to 20 spread over 0 to 255, so that each range holds as many pixels."""
    first = torch.arange(len(shade), dtype=torch.int32, device=shade.device)[:, None] * (_FARTHEST + 1)
    flat = shade.flatten(1).int().add_(first).flatten()
    counts = flat.bincount(minlength=len(shade) * (_FARTHEST + 1)).view(len(shade), -1)
    total, below = shade[0].numel(), counts.cumsum(1)
    least = counts.gather(1, (counts > 0).long().argmax(1, keepdim=True))
    table = ((below - least) * (255 / (total - least).clamp_min(1))).round_()
    table = torch.where(least == total, torch.arange(_FARTHEST + 1, device=flat.device), table)
    return table.flatten().to(shade).index_select(0, flat).view_as(shade)


def _embossed(shade: Tensor) -> Tensor:
    """Lit from the lower right: weights (-2 -1 0 | -1 1 1 | 0 1 2), clipped to 8 bits."""
    wide = mirrored(shade, (1, 1), (1, 1))
    height, width = shade.shape[2:]

    def beside(row: int, column: int) -> Tensor:
        return wide[:, :, 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    far = beside(1, 1) - beside(-1, -1)
    near = beside(0, 1) + beside(1, 0) - beside(-1, 0) - beside(0, -1)
    return (shade + near).add_(far, alpha=2).clamp_(0, 255)


def _boxed(x: Tensor) -> Tensor:
    """The mean of each pixel and its eight neighbours, mirrored about the edge pixels."""
    wide, (height, width) = mirrored(x, (1, 1), (1, 1)), x.shape[2:]
    down = (wide[:, :, :height] + wide[:, :, 1:-1]).add_(wide[:, :, 2:])
    return (down[..., :width] + down[..., 1:-1]).add_(down[..., 2:]).div_(9)
