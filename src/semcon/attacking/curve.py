"""A whole curve over severities, and the smallest one that topples each image.

An image toppled at a severity is toppled at every larger one, since the copy lies in the larger box or ball: so the
ladder is climbed from below, with the images still standing only, each from the best copy of the rung before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.attacking.ascent import SHRINK, Climb, Reached
from semcon.attacking.goal import LOSSES, Goal
from semcon.attacking.space import Space, select
from semcon.core.concepts import Perturbation, Unit

Draw = Callable[[int], Unit]
"""The i-th keyed draw of the parameters of the whole batch."""
Topple = Callable[[Space, Goal, Reached, Callable[[int], Unit]], None]
"""An attack at one severity: improves what was reached. The draws are those of its images."""


@dataclass(frozen=True)
class Curve:
    """What an attack found over a ladder: `critical` (B,), the smallest severity that topples, inf where none does.

    `scores`: per rung, (B, K) of the copy that toppled the image, or of the nearest to it.
    """

    critical: Tensor
    scores: tuple[Tensor, ...]


@dataclass(frozen=True)
class Gradient:
    """Gradient ascent at one severity: `steps` each from the best copy so far, then from further random draws.

    `losses` take turns over the restarts: `margin` and `cross_entropy` go to any other class, `target` to one after the
    other, from the second nearest on. `samples`: random draws that are tried before, where they may do as well.
    """

    steps: int = 20
    restarts: int = 2
    losses: tuple[str, ...] = ("margin", "target", "cross_entropy", "target")
    momentum: float = 0.0
    samples: int = 0
    shrink: float = SHRINK
    count: Callable[[float], None] = lambda _: None

    def __call__(self, space: Space, goal: Goal, reached: Reached, draw: Draw) -> None:
        """Improve what was reached at these severities."""
        for number in range(self.samples):
            self._try(space, goal, reached, draw(number))
        for restart in range(self.restarts):
            rows = reached.standing
            if not len(rows) or not self.steps:
                return
            known = bool(reached.margin.isfinite().all()) and restart == 0
            start = reached.unit if known else draw(restart)
            loss = self.losses[restart % len(self.losses)]
            rank = sum(self.losses[earlier % len(self.losses)] == "target" for earlier in range(restart)) + 1
            aim = goal.towards(rank, reached.scores) if loss == "target" else goal
            climb = Climb(self.steps, LOSSES[loss], self.momentum, self.shrink)
            climb.run(space, aim, reached, rows, select(start, rows), self.count)

    def _try(self, space: Space, goal: Goal, reached: Reached, unit: Unit) -> None:
        rows = reached.standing
        if len(rows):
            part, unit = space.of(rows), select(unit, rows)
            self.count(len(rows))
            reached.update(rows, unit, goal.scores(part.copy(unit)), goal.leave[rows])


@torch.no_grad()
def climb_ladder(
    perturbation: Perturbation, x: Tensor, goal: Goal, clean: Tensor, ladder: Sequence[float], *,
    topple: Topple, narrow: Topple | None, draw: Draw, rounds: int,
) -> Curve:  # fmt: skip
    """The curve of a batch. `clean`: scores (B, K) of the untouched images; those wrong already fall at 0.

    `narrow`: the attack of the `rounds` bisections that follow inside each image's bracket, from its own copy.
    """
    critical = torch.where(clean.argmax(1) != goal.leave, 0.0, torch.inf)
    carried, under = draw(0), torch.zeros_like(critical)
    per_rung: list[Tensor] = []
    smallest = clean.clone()
    seen = torch.zeros_like(critical, dtype=torch.bool)
    for rung in ladder:
        rows = torch.nonzero(critical.isinf()).flatten()
        scores = smallest.clone()
        if len(rows):
            space, part = Space(perturbation, x[rows], x.new_full((len(rows),), rung)), goal.of(rows)
            reached = Reached.nowhere(select(carried, rows), clean.shape[1])
            if bool(seen[rows].all()):
                _again(space, part, reached, space.rescaled(reached.unit, under[rows]))
            topple(space, part, reached, lambda number, rows=rows: select(draw(number), rows))
            for name, value in reached.unit.items():
                carried[name] = carried[name].index_copy(0, rows, value)
            under[rows], seen[rows] = rung, True
            critical[rows[reached.fallen]] = rung
            scores[rows] = reached.scores
            smallest[rows] = reached.scores
        per_rung.append(scores)
    return Curve(critical, tuple(per_rung)) if narrow is None else _narrowed(
        Curve(critical, tuple(per_rung)), perturbation, x, goal, carried, ladder, topple=narrow, draw=draw,
        rounds=rounds,
    )  # fmt: skip


def _again(space: Space, goal: Goal, reached: Reached, unit: Unit) -> None:
    """The copy of the rung before as the first candidate; its scores are worked out anew."""
    rows = reached.standing
    reached.update(rows, unit, goal.scores(space.copy(unit)), goal.leave)


def _narrowed(
    curve: Curve, perturbation: Perturbation, x: Tensor, goal: Goal, unit: Unit, ladder: Sequence[float], *,
    topple: Topple, draw: Draw, rounds: int,
) -> Curve:  # fmt: skip
    """Bisections between the rung that toppled an image and the one before, each from the image's own copy."""
    rungs = x.new_tensor((0.0, *ladder))
    rows = torch.nonzero(curve.critical.isfinite() & (curve.critical > 0)).flatten()
    if not len(rows):
        return curve
    high = curve.critical[rows]
    low = rungs[torch.searchsorted(rungs, high) - 1]
    space, goal, unit = Space(perturbation, x[rows], high), goal.of(rows), select(unit, rows)
    for _ in range(rounds):
        middle = (low + high) / 2
        tried = Space(perturbation, space.x, middle)
        start = tried.rescaled(unit, high)
        reached = Reached.nowhere(start, curve.scores[0].shape[1])
        _again(tried, goal, reached, start)
        topple(tried, goal, reached, lambda number: select(draw(number), rows))
        fell = reached.fallen
        high, low = torch.where(fell, middle, high), torch.where(fell, low, middle)
        better = {name: value[fell] for name, value in reached.unit.items()}
        unit = {name: value.index_copy(0, torch.nonzero(fell).flatten(), better[name]) for name, value in unit.items()}
    critical = curve.critical.clone()
    critical[rows] = high
    return Curve(critical, curve.scores)
