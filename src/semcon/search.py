"""Worst case and critical severity, over any perturbation's parameters.

One search serves every perturbation: gradient ascent inside the unit box or ball (for `linf` this is PGD,
arXiv 1706.06083), else the best of k keyed draws. The random draws are always among the candidates, so that the worst
case is never milder than a random one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit

Objective = Callable[[Tensor], Tensor]
"""Perturbed canvas (B, 3, H, W) -> what is maximised (B,)."""


@dataclass(frozen=True)
class SearchSettings:
    """`steps` per restart, `restarts` from different random draws, `best_of` draws where no gradient serves."""

    steps: int = 20
    restarts: int = 2
    best_of: int = 20

    def method(self, perturbation: Perturbation, *, gradients: bool, known: int) -> str:
        """How this perturbation will be searched, as the rows say it. `known`: random draws among the candidates."""
        if perturbation.parameters == "fixed":
            return "only draw"
        if gradients and searchable(perturbation):
            return f"gradient {self.steps}x{self.restarts}"
        return f"best of {max(self.best_of, known)}"

    def passes(self, perturbation: Perturbation, *, gradients: bool) -> int:
        """Forward passes per image, the first draw's included; a backward pass counts as two."""
        if perturbation.parameters == "fixed":
            return 1
        if gradients and searchable(perturbation):
            return 1 + self.restarts * (3 * self.steps + 1)
        return max(1, self.best_of)


def searchable(perturbation: Perturbation) -> bool:
    """Whether gradient ascent over its parameters is possible: a bounded set, differentiable."""
    return perturbation.parameters in ("box", "ball") and perturbation.parameter_gradient


@dataclass
class Best:
    """The best parameters so far and their value, per sample."""

    unit: Unit
    value: Tensor

    def update(self, unit: Unit, value: Tensor) -> None:
        """Keep what is better; ties keep the earlier."""
        better = value > self.value
        self.value = torch.where(better, value, self.value)
        self.unit = {
            name: torch.where(better.view(-1, *[1] * (new.dim() - 1)), new, self.unit[name])
            for name, new in unit.items()
        }


def worst_case(
    perturbation: Perturbation, x: Tensor, severity: float | Tensor, draw: Callable[[int], Unit], *,
    objective: Objective, settings: SearchSettings, gradients: bool, known: list[Tensor],
    context: Context | None = None,
) -> Best:  # fmt: skip
    """The parameters of largest objective found, per sample.

    `draw(i)`: the i-th keyed draw. `known`: the objective at the first draws, already measured; they are the first
    candidates, and the restarts begin at the first draws.
    """
    best = Best(draw(0), known[0])
    for number, value in enumerate(known[1:], start=1):
        best.update(draw(number), value)
    if perturbation.parameters == "fixed":
        return best
    if gradients and searchable(perturbation):
        for restart in range(settings.restarts):
            _ascend(
                perturbation,
                x,
                severity,
                best,
                draw(restart),
                objective=objective,
                steps=settings.steps,
                context=context,
            )
        return best
    for number in range(len(known), settings.best_of):
        unit = draw(number)
        best.update(unit, objective(perturbation(x, unit, severity, context)))
    return best


def _ascend(
    perturbation: Perturbation,
    x: Tensor,
    severity: float | Tensor,
    best: Best,
    start: Unit,
    *,
    objective: Objective,
    steps: int,
    context: Context | None,
) -> None:
    """Projected gradient ascent from `start`, improving `best`: sign steps in a box, normalised steps in a ball.

    The step size falls by a half cosine. It sums to 2.5 units in a box, whose width is 2, and to 5 radii in a ball,
    where every step only turns the parameters by a share of its length.
    """
    reach = 2.5 if perturbation.parameters == "box" else 5.0
    unit = {name: value.clone() for name, value in start.items()}
    for step in range(steps):
        unit = {name: value.detach().requires_grad_() for name, value in unit.items()}
        with torch.enable_grad():
            value = objective(perturbation(x, unit, severity, context))
            gradients = torch.autograd.grad(value.sum(), list(unit.values()))
        best.update({name: u.detach() for name, u in unit.items()}, value.detach())
        size = reach / steps * (1 + math.cos(math.pi * (step + 0.5) / steps))
        unit = {
            name: project(perturbation, u.detach() + size * direction(perturbation, g))
            for (name, u), g in zip(unit.items(), gradients, strict=True)
        }
    best.update(unit, objective(perturbation(x, unit, severity, context)))


def direction(perturbation: Perturbation, gradient: Tensor) -> Tensor:
    """The steepest way up: the gradient's sign in a box, the gradient at length 1 in a ball."""
    gradient = gradient.nan_to_num()
    if perturbation.parameters == "box":
        return gradient.sign()
    norm = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
    return gradient / norm.view(-1, *[1] * (gradient.dim() - 1))


def project(perturbation: Perturbation, unit: Tensor) -> Tensor:
    """The nearest parameters in the box or ball."""
    if perturbation.parameters == "box":
        return unit.clamp(-1, 1)
    norm = unit.flatten(1).norm(dim=1).clamp(min=1)
    return unit / norm.view(-1, *[1] * (unit.dim() - 1))


def bisect(flips: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, *, discrete: bool, rounds: int = 10) -> Tensor:
    """Narrow the bracket of a first change: the smallest severity seen to flip, (M,).

    `flips`: severities (M,) -> bool (M,). `low` does not flip, `high` does. Whole numbers where discrete.
    """
    for _ in range(rounds):
        middle = ((low + high) / 2).floor() if discrete else (low + high) / 2
        open_ = high - low > 1 if discrete else torch.ones_like(high, dtype=torch.bool)
        if not bool(open_.any()):
            break
        flipped = flips(middle)
        low = torch.where(open_ & ~flipped, middle, low)
        high = torch.where(open_ & flipped, middle, high)
    return high
