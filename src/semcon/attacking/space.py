"""Where an attack moves: the copies that a perturbation can make of a batch, each image at a severity of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.attacking.goal import Goal, Loss
from semcon.core.concepts import Perturbation, Unit
from semcon.search import direction, project


@dataclass(frozen=True)
class Space:
    """Images `x` (B, 3, H, W) and the largest severity that each may be given, (B,), under one perturbation.

    In an additive ball the gradient is taken at the copy, not through its clipping: a value that is at 0 or 1 may
    come back, and what was clipped away is given back to the parameters.
    """

    perturbation: Perturbation
    x: Tensor
    severity: Tensor

    @property
    def additive(self) -> bool:
        """Whether the parameters are the change itself, in units of the severity."""
        return self.perturbation.family == "additive_ball"

    def of(self, rows: Tensor) -> Space:
        """Some of the images, by index (M,)."""
        return Space(self.perturbation, self.x[rows], self.severity[rows])

    def copy(self, unit: Unit) -> Tensor:
        """The copies at these parameters, (B, 3, H, W)."""
        return self.perturbation(self.x, unit, self.severity)

    def look(self, unit: Unit, goal: Goal, loss: Loss) -> tuple[Tensor, Unit]:
        """Scores (B, K) of the copies, and the gradient of the loss with respect to every parameter."""
        with torch.enable_grad():
            if self.additive:
                source = self.copy(unit).detach().requires_grad_()
                scores = goal.scores(source)
                (slope,) = torch.autograd.grad(loss(scores, goal).sum(), source)
                return scores.detach(), dict.fromkeys(unit, slope)
            unit = {name: value.detach().requires_grad_() for name, value in unit.items()}
            scores = goal.scores(self.copy(unit))
            slopes = torch.autograd.grad(loss(scores, goal).sum(), list(unit.values()), allow_unused=True)
        zero = {name: torch.zeros_like(value) for name, value in unit.items()}
        pairs = zip(unit, slopes, strict=True)
        return scores.detach(), {name: zero[name] if slope is None else slope for name, slope in pairs}

    def moved(self, unit: Unit, along: Unit, size: float) -> Unit:
        """A step of some length up the slope `along`, back in the box or ball, and what was clipped given back."""
        stepped = {
            name: project(self.perturbation, value + size * direction(self.perturbation, along[name]))
            for name, value in unit.items()
        }
        if not self.additive:
            return stepped
        change = self.copy(stepped).sub_(self.x)
        scale = (255 / self.severity.clamp(min=1e-12)).view(-1, 1, 1, 1)
        return dict.fromkeys(stepped, change * scale)

    def rescaled(self, unit: Unit, severity: Tensor) -> Unit:
        """Parameters found at another severity (B,), as the same change at this one where it is small enough."""
        share = severity / self.severity
        return {
            name: project(self.perturbation, value * share.view(-1, *[1] * (value.dim() - 1)))
            for name, value in unit.items()
        }


def select(unit: Unit, rows: Tensor) -> Unit:
    """The parameters of some of the images, by index (M,)."""
    return {name: value[rows] for name, value in unit.items()}
