"""Square: a search that needs no gradient, only scores; for black boxes, and to see whether gradients are masked.

Source: Square Attack, Andriushchenko et al., arXiv 1912.00049, L-inf: vertical stripes first, then squares of one
colour, ever smaller, kept where the margin rises. Draws are keyed by the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semcon.attacking.ascent import Reached
from semcon.attacking.curve import Draws
from semcon.attacking.goal import Goal
from semcon.attacking.space import Space
from semcon.keyed import Keys

FIRST_SHARE = 0.8  # of the image's pixels that the first squares cover
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # shares of the queries after which the area halves


@dataclass(frozen=True)
class Square:
    """`queries` forward passes per image at most."""

    queries: int
    count: Callable[[float], None] = lambda _: None

    @torch.no_grad()
    def __call__(self, space: Space, goal: Goal, reached: Reached, draws: Draws) -> None:
        """Improve what was reached; where nothing was, begin with stripes."""
        rows = reached.standing
        if not len(rows):
            return
        known, keys = bool(reached.margin[rows].isfinite().all()), draws.keys
        first = reached.unit["field"][rows].sign() if known else _stripes(keys.of(rows), space.x)
        self._try(space, goal, reached, rows, first)
        for query in range(1, self.queries):
            rows = reached.standing
            if not len(rows):
                return
            share = FIRST_SHARE / 2 ** sum(query > at * self.queries for at in HALVINGS)
            drawn = replace(keys, draw=query).of(rows)
            self._try(space, goal, reached, rows, _with_square(reached.unit["field"][rows], drawn, share))

    def _try(self, space: Space, goal: Goal, reached: Reached, rows: Tensor, field: Tensor) -> None:
        unit = {"field": field}
        self.count(len(rows))
        reached.update(rows, unit, goal.scores(space.of(rows).copy(unit)), goal.leave[rows])


def _stripes(keys: Keys, x: Tensor) -> Tensor:
    """A colour for every column, at full size: (M, 3, H, W) of -1 and 1."""
    return keys.signed("stripes", (x.shape[1], 1, x.shape[3])).sign().to(x).expand(-1, -1, x.shape[2], -1)


def _with_square(field: Tensor, keys: Keys, share: float) -> Tensor:
    """One square of one colour, at full size, in every field (M, 3, H, W), which otherwise stays as it is."""
    height, width = field.shape[2:]
    side = min(max(1, round(math.sqrt(share * height * width))), height, width)
    place = keys.uniform("place", (2,)).to(field)
    top, start = (place * field.new_tensor([height - side + 1, width - side + 1])).floor().unbind(1)
    down, across = torch.arange(height, device=field.device), torch.arange(width, device=field.device)
    inside = _within(down, top, side)[:, None, :, None] & _within(across, start, side)[:, None, None, :]
    colour = keys.signed("colour", (field.shape[1], 1, 1)).sign().to(field)
    return torch.where(inside, colour, field)


def _within(places: Tensor, first: Tensor, side: int) -> Tensor:
    """(M, N) bool: whether each place lies in the `side` ones from each `first` (M,)."""
    away = places - first[:, None]
    return (away >= 0) & (away < side)
