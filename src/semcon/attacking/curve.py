"""A whole curve over severities, and the smallest one that topples each image.

An image toppled at a severity is toppled at every larger one, since the copy lies in the larger box or ball: so the
ladder is climbed from below, with the images still standing only, each from the best copy of the rung before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semcon.attacking.ascent import SHRINK, Climb, Reached
from semcon.attacking.goal import LOSSES, Goal
from semcon.attacking.space import Space, select
from semcon.core.concepts import Perturbation, Unit
from semcon.keyed import Keys


@dataclass(frozen=True)
class Draws:
    """Random parameters of a batch, keyed by its images: `draws(i)` is the i-th. `like`: an image's shape and type."""

    perturbation: Perturbation
    keys: Keys
    like: Tensor

    def of(self, rows: Tensor) -> Draws:
        """Those of some of the images, by index (M,)."""
        return Draws(self.perturbation, self.keys.of(rows), self.like)

    def __call__(self, number: int) -> Unit:
        """The parameters of one draw."""
        return self.perturbation.sample(replace(self.keys, draw=number), self.like)


Topple = Callable[[Space, Goal, Reached, Draws], None]
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

    def __call__(self, space: Space, goal: Goal, reached: Reached, draws: Draws) -> None:
        """Improve what was reached at these severities."""
        for number in range(self.samples):
            self._try(space, goal, reached, draws, number)
        for restart in range(self.restarts):
            rows = reached.standing
            if not len(rows) or not self.steps:
                return
            known = bool(reached.margin.isfinite().all()) and restart == 0
            start = select(reached.unit, rows) if known else draws.of(rows)(restart)
            loss = self.losses[restart % len(self.losses)]
            rank = sum(self.losses[earlier % len(self.losses)] == "target" for earlier in range(restart)) + 1
            aim = goal.towards(rank, reached.scores) if loss == "target" else goal
            climb = Climb(self.steps, LOSSES[loss], self.momentum, self.shrink)
            climb.run(space, aim, reached, rows, start, self.count)

    def _try(self, space: Space, goal: Goal, reached: Reached, draws: Draws, number: int) -> None:
        rows = reached.standing
        if len(rows):
            part, unit = space.of(rows), draws.of(rows)(number)
            self.count(len(rows))
            reached.update(rows, unit, goal.scores(part.copy(unit)), goal.leave[rows])


@torch.no_grad()
def climb_ladder(
    x: Tensor, goal: Goal, clean: Tensor, ladder: Sequence[float], *, topple: Topple, draws: Draws,
) -> tuple[Curve, Unit]:  # fmt: skip
    """The curve of a batch, and the parameters that each image fell with, or came nearest with.

    `clean`: scores (B, K) of the untouched images; those that are wrong already fall at 0.
    """
    critical = torch.where(clean.argmax(1) != goal.leave, 0.0, torch.inf)
    carried, nearest = draws(0), clean.clone()
    per_rung: list[Tensor] = []
    for number, rung in enumerate(ladder):
        rows = torch.nonzero(critical.isinf()).flatten()
        if len(rows):
            space, part = Space(draws.perturbation, x[rows], x.new_full((len(rows),), rung)), goal.of(rows)
            reached = Reached.nowhere(select(carried, rows), clean.shape[1])
            if number:
                _again(space, part, reached, space.rescaled(reached.unit, x.new_full((len(rows),), ladder[number - 1])))
            topple(space, part, reached, draws.of(rows))
            carried = {name: value.index_copy(0, rows, reached.unit[name]) for name, value in carried.items()}
            critical[rows[reached.fallen]] = rung
            nearest[rows] = reached.scores
        per_rung.append(nearest.clone())
    return Curve(critical, tuple(per_rung)), carried


def _again(space: Space, goal: Goal, reached: Reached, unit: Unit) -> None:
    """A known copy as the first candidate; its scores are worked out anew."""
    rows = torch.arange(len(unit[next(iter(unit))]), device=space.x.device)
    reached.update(rows, unit, goal.scores(space.copy(unit)), goal.leave)


@torch.no_grad()
def narrow(
    curve: Curve, unit: Unit, x: Tensor, goal: Goal, ladder: Sequence[float], *,
    topple: Topple, draws: Draws, rounds: int,
) -> Tensor:  # fmt: skip
    """Smaller `critical` (B,): bisections between the rung that toppled an image and the one before.

    Each begins with the image's own copy `unit`, brought to the size that is tried.
    """
    rungs = x.new_tensor((0.0, *ladder))
    rows = torch.nonzero(curve.critical.isfinite() & (curve.critical > 0)).flatten()
    if not len(rows):
        return curve.critical
    high = curve.critical[rows]
    low = rungs[torch.searchsorted(rungs, high) - 1]
    goal, unit, x, draws = goal.of(rows), select(unit, rows), x[rows], draws.of(rows)
    for _ in range(rounds):
        tried = Space(draws.perturbation, x, (low + high) / 2)
        start = tried.rescaled(unit, high)
        reached = Reached.nowhere(start, curve.scores[0].shape[1])
        _again(tried, goal, reached, start)
        topple(tried, goal, reached, draws)
        fell = reached.fallen
        high, low = torch.where(fell, tried.severity, high), torch.where(fell, low, tried.severity)
        unit = {
            name: torch.where(fell.view(-1, *[1] * (value.dim() - 1)), reached.unit[name], value)
            for name, value in unit.items()
        }
    return curve.critical.index_copy(0, rows, high)
