"""A whole curve over severities, and the smallest one that topples each image.

An image toppled at a severity is toppled at every larger one, since the copy lies in the larger box or ball: so a
bisection over the ladder finds for each image the rung at which it falls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semcon.attacking.ascent import SHRINK, Climb, Reached
from semcon.attacking.goal import LOSSES, Goal, left
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
class Fallen:
    """Copies that toppled images before a search: `rung` (B,), from 1, one more than there are where none is known.

    `unit`: their parameters, anything where none is known; `scores` (B, K): those of the copies.
    """

    rung: Tensor
    unit: Unit
    scores: Tensor

    @classmethod
    def none(cls, unit: Unit, clean: Tensor, rungs: int) -> Fallen:
        """Nobody has. `clean`: scores of the untouched images."""
        rung = torch.full(clean.shape[:1], rungs + 1, device=clean.device)
        return cls(rung, {name: value.clone() for name, value in unit.items()}, clean.clone())

    def note(self, rung: int, unit: Unit, scores: Tensor, goal: Goal) -> None:
        """What was seen of all images at a rung."""
        rows = torch.nonzero(left(scores, goal.leave) & (rung < self.rung)).flatten()
        self.rung[rows], self.scores[rows] = rung, scores[rows]
        for name, own in self.unit.items():
            own[rows] = unit[name][rows]


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
def search_ladder(
    x: Tensor, goal: Goal, clean: Tensor, ladder: Sequence[float], *, topple: Topple, draws: Draws,
    known: Fallen | None = None,
) -> tuple[Curve, Unit]:  # fmt: skip
    """The curve of a batch, and the parameters that each image fell with, or came nearest with.

    By bisection: an image is attacked in the middle of the rungs that are left to it, from its own best copy, until it
    has fallen at one rung and stood at the one before. `clean`: scores (B, K) of the untouched images; those that are
    wrong already fall at 0. `known`: what topples images already.
    """
    rungs, end = x.new_tensor((0.0, *ladder)), len(ladder) + 1
    known = known or Fallen.none(draws(0), clean, len(ladder))
    wrong, low = clean.argmax(1) != goal.leave, torch.zeros_like(known.rung)
    high, toppled = torch.where(wrong, low, known.rung), torch.where(wrong[:, None], clean, known.scores)
    seen, carried = clean.repeat(len(ladder), 1, 1), known.unit
    size = torch.where(high < end, rungs[high.clamp(max=len(ladder))], 0.0)
    while len(rows := torch.nonzero(high - low > 1).flatten()):
        rung = (low + high)[rows] // 2
        space, part = Space(draws.perturbation, x[rows], rungs[rung]), goal.of(rows)
        reached = Reached.nowhere(select(carried, rows), clean.shape[1])
        _again(space, part, reached, torch.nonzero(size[rows]).flatten(), size[rows])
        topple(space, part, reached, draws.of(rows))
        seen[rung - 1, rows] = reached.scores
        for lower in range(1, end):  # what the best copy does at the rungs that are passed over
            between = torch.nonzero(~reached.fallen & (low[rows] < lower) & (lower < rung)).flatten()
            if len(between):
                tried = Space(space.perturbation, space.x[between], rungs[lower].expand(len(between)))
                unit = tried.rescaled(select(reached.unit, between), rungs[rung[between]])
                scores = part.scores(tried.copy(unit))
                seen[lower - 1, rows[between]] = scores
                fell = left(scores, part.leave[between])
                down = between[fell]
                reached.update(down, select(unit, fell), scores[fell], part.leave[down])
                rung[down] = lower
        news = reached.fallen | (high[rows] == end)
        places, fallen = rows[news], rows[reached.fallen]
        carried = {name: value.index_copy(0, places, reached.unit[name][news]) for name, value in carried.items()}
        size[places] = rungs[rung[news]]
        toppled[fallen], high[fallen] = reached.scores[reached.fallen], rung[reached.fallen]
        standing = rows[reached.standing]
        low[standing] = rung[reached.standing]
    critical = torch.cat((rungs, rungs.new_tensor([torch.inf])))[high]
    scores = [torch.where((high <= number)[:, None], toppled, own) for number, own in enumerate(seen, start=1)]
    return Curve(critical, tuple(scores)), carried


def _again(space: Space, goal: Goal, reached: Reached, rows: Tensor, size: Tensor) -> None:
    """The known copies of the images `rows` (M,), of severities `size` (B,), as first candidates at this severity."""
    if len(rows):
        part = space.of(rows)
        unit = part.rescaled(select(reached.unit, rows), size[rows])
        reached.update(rows, unit, goal.scores(part.copy(unit)), goal.leave[rows])


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
        reached = Reached.nowhere(unit, curve.scores[0].shape[1])
        _again(tried, goal, reached, torch.arange(len(high), device=x.device), high)
        topple(tried, goal, reached, draws)
        fell = reached.fallen
        high, low = torch.where(fell, tried.severity, high), torch.where(fell, low, tried.severity)
        unit = {
            name: torch.where(fell.view(-1, *[1] * (value.dim() - 1)), reached.unit[name], value)
            for name, value in unit.items()
        }
    return curve.critical.index_copy(0, rows, high)
