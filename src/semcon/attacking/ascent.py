"""Projected gradient ascent over a batch that shrinks to the images still standing.

The forward pass of every gradient step tells who has fallen, at no cost of its own. Source: PGD arXiv 1706.06083;
momentum arXiv 1710.06081; the margin as a loss arXiv 1608.04644.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.attacking.goal import Goal, Loss, left, margin
from semcon.attacking.space import Space, select
from semcon.core.concepts import Unit

SHRINK = 1 / 8  # share of the batch that must have fallen before it is made smaller: new shapes cost a little too


@dataclass
class Reached:
    """The copy nearest to success of every image: parameters, scores (B, K), margin (B,), whether it fell (B,).

    An image that has fallen keeps the copy that it fell with.
    """

    unit: Unit
    scores: Tensor
    margin: Tensor
    fallen: Tensor

    @classmethod
    def nowhere(cls, unit: Unit, classes: int) -> Reached:
        """Before the first look. `unit`: parameters of the right shapes."""
        some = next(iter(unit.values()))
        empty = some.new_full((len(some),), -torch.inf)
        scores = some.new_full((len(some), classes), torch.nan)
        unit = {name: value.clone() for name, value in unit.items()}
        return cls(unit, scores, empty, torch.zeros_like(empty, dtype=torch.bool))

    def update(self, rows: Tensor, unit: Unit, scores: Tensor, leave: Tensor) -> None:
        """What was seen of some of the images, by index (M,)."""
        value, fell = margin(scores, leave).nan_to_num(nan=-torch.inf), left(scores, leave)
        better = ~self.fallen[rows] & (fell | (value > self.margin[rows]))
        places = rows[better]
        for name, own in self.unit.items():
            own[places] = unit[name][better]
        self.scores[places], self.margin[places] = scores[better].to(self.scores), value[better].to(self.margin)
        self.fallen[places] = fell[better]

    @property
    def standing(self) -> Tensor:
        """The images still standing, by index (M,)."""
        return torch.nonzero(~self.fallen).flatten()


@dataclass(frozen=True)
class Climb:
    """How to climb: `steps`, `momentum` 0 to below 1, the `loss`, and the share that falls before a batch shrinks."""

    steps: int
    loss: Loss
    momentum: float = 0.0
    shrink: float = SHRINK

    def run(
        self, space: Space, goal: Goal, reached: Reached, rows: Tensor, start: Unit,
        count: Callable[[float], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Climb from `start`, the parameters of the images `rows` (M,), until they fall; `reached` keeps the best.

        `count` is told the forward passes, a backward pass counted as two. The step's length falls by a half cosine.
        It sums to 2.5 units in a box, whose width is 2, and to 5 radii in a ball.
        """
        space, goal, unit = space.of(rows), goal.of(rows), start
        reach = 2.5 if space.perturbation.parameters == "box" else 5.0
        speed = {name: torch.zeros_like(value) for name, value in unit.items()}
        for step in range(self.steps):
            scores, slope = space.look(unit, goal, self.loss)
            count(3 * len(rows))
            reached.update(rows, unit, scores, goal.leave)
            fallen = reached.fallen[rows]
            if int(fallen.sum()) >= max(1.0, self.shrink * len(rows)):
                kept = torch.nonzero(~fallen).flatten()
                rows, space, goal = rows[kept], space.of(kept), goal.of(kept)
                unit, slope, speed = select(unit, kept), select(slope, kept), select(speed, kept)
                if not len(rows):
                    return
            speed = {name: _mixed(speed[name], slope[name], self.momentum) for name in unit}
            size = reach / self.steps * (1 + math.cos(math.pi * (step + 0.5) / self.steps))
            unit = space.moved(unit, speed, size)
        count(len(rows))
        reached.update(rows, unit, goal.scores(space.copy(unit)), goal.leave)


def _mixed(speed: Tensor, slope: Tensor, momentum: float) -> Tensor:
    """Momentum over gradients brought to one mean size, so that however faint they are their direction counts."""
    slope = slope.nan_to_num(posinf=0.0, neginf=0.0)
    flat = slope.reshape(len(slope), -1).abs().mean(1).clamp(min=torch.finfo(slope.dtype).tiny)
    return momentum * speed + slope / flat.view(-1, *[1] * (slope.dim() - 1))
