"""Infidelity and sensitivity: does a map foretell what removal does, and does it stay under tiny noise?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.class_score import class_score, flat, parts
from semcon.core.concepts import Explanation, Learner
from semcon.keyed import Keys


@dataclass(frozen=True)
class Removals:
    """Squares taken out of images, the mean colour put there: `where` (M, B, H, W) bool, `drop` (M, B) of the logit."""

    where: Tensor
    drop: Tensor

    @classmethod
    @torch.no_grad()
    def drawn(cls, subject: Learner, x: Tensor, target: Tensor, keys: Keys, count: int, side: float = 0.25) -> Removals:
        """`count` squares of `side` times the height at keyed places, wholly on the canvas."""
        height, width = x.shape[2:]
        reach = max(1, round(side * height))
        at = keys.within("infidelity").uniform("place", (count, 2)).to(x).movedim(0, 1)
        top = (at[..., 0] * (height - reach + 1)).floor().view(count, -1, 1, 1)
        left = (at[..., 1] * (width - reach + 1)).floor().view(count, -1, 1, 1)
        row = torch.arange(height, device=x.device).view(-1, 1)
        column = torch.arange(width, device=x.device)
        where = (row >= top) & (row < top + reach) & (column >= left) & (column < left + reach)
        colour, score = x.mean((2, 3), keepdim=True), class_score(subject, x, target)
        drops: list[Tensor] = []
        for part in parts(count, x):
            copies = torch.where(where[part, :, None], colour, x)
            drops.append(score - class_score(subject, flat(copies), target.repeat(len(copies))).view(len(copies), -1))
        return cls(where, torch.cat(drops))

    def told_by(self, maps: Tensor) -> Tensor:
        """What a map (B, H, W) says of each removal, the sum of its values there: (M, B)."""
        return torch.einsum("mbhw,bhw->mb", self.where.to(maps), maps)


def infidelity(told: Tensor, drop: Tensor, *, scaled: bool = False) -> Tensor:
    """Mean squared error between what a map tells of perturbations and what they do, (M, B), (M, B) -> (B,).

    `scaled`: the map first takes the scale that fits best, none below 0, and the error is a share of the mean squared
    change: 0 where the map foretells every change, 1 where it tells nothing or the reverse; NaN where nothing changes.
    Source: Yeh et al., arXiv 1901.09392, whose scale may be negative.
    """
    if not scaled:
        return ((told - drop) ** 2).mean(0)
    told, drop = told.double(), drop.double()
    fit = (told * drop).sum(0) / (told**2).sum(0)
    left = ((fit.nan_to_num().clamp(min=0) * told - drop) ** 2).sum(0)
    return (left / (drop**2).sum(0)).float()


def max_sensitivity(
    explanation: Explanation, subject: Learner, x: Tensor, target: Tensor, keys: Keys, *, maps: Tensor | None = None,
    radius: float = 0.02, draws: int = 10,
) -> Tensor:  # fmt: skip
    """The largest change of the map, relative to its L2 norm, under uniform noise in [-radius, radius]: (B,).

    `maps`: of the untouched images, where known. NaN for a map of zeros. Source: Yeh et al., arXiv 1901.09392.
    """
    own = explanation(subject, x, target, keys) if maps is None else maps
    noise, row = keys.within("sensitivity"), torch.arange(len(x), device=x.device)
    worst = x.new_zeros(len(x))
    for part in parts(draws, x):
        names = [f"noise {draw}" for draw in range(part.start, part.stop)]
        moved = torch.stack([x + radius * noise.signed(name, tuple(x.shape[1:])).to(x) for name in names])
        count = len(moved)
        maps_of_moved = explanation(subject, flat(moved), target.repeat(count), keys.of(row.repeat(count)))
        change = (maps_of_moved.unflatten(0, (count, len(x))) - own).flatten(2).norm(dim=2)
        worst = torch.maximum(worst, change.amax(0))
    return worst / own.flatten(1).norm(dim=1)
