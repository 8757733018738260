"""Alpha: what the penalty is multiplied by, a number, or a multiplier that a wish moves."""

from __future__ import annotations

import importlib
import math
from typing import Any, Literal

import torch
from torch import nn

from semcon.core.errors import MissingPackageError, SemconError


class Alpha(nn.Module):
    """A weight that stays."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = float(value)

    @property
    def value(self) -> float:
        """The weight of the next step."""
        return self._value


class Multiplier(Alpha):
    """A weight found by dual ascent on a Lagrangian (cooper), from violations measured now and then.

    `on`: "penalty" for a bound on the change (minimise the loss; lambda is alpha), "loss" for a bound on what it may
    cost (minimise the penalty; lambda is the loss's multiplier, so alpha is 1 / lambda). `start`: the first alpha.
    `rate`: how far lambda moves per unit of violation; None: by its first value, or by 0.4 of it on the loss. One step
    counts a violation of at most 1, and alpha stays within `FARTHEST` times its start (on the loss, above as far
    below it too): measured now and then, an early violation must neither blow the weight up nor wind it up beyond
    return. Source: Gallego-Posada et al., arXiv 2504.01212 (the library), Platt and Barr 1987.
    """

    FARTHEST = 12.5  # from 4: alpha is at most 50

    def __init__(self, on: Literal["penalty", "loss"], start: float = 4.0, rate: float | None = None) -> None:
        super().__init__(start)
        if not (start > 0 and math.isfinite(start)):
            raise SemconError(f"a multiplier starts above 0: got {start:g}")
        self.on, cooper = on, _cooper()
        first = torch.tensor([start if on == "penalty" else 1 / start], dtype=torch.float64)
        self._bounds = (0.0 if on == "penalty" else float(first) / self.FARTHEST, float(first) * self.FARTHEST)
        rate = float(first) * (1 if on == "penalty" else 0.4) if rate is None else rate
        multiplier = cooper.multipliers.DenseMultiplier(init=first, dtype=torch.float64)
        constraint = cooper.Constraint(constraint_type=cooper.ConstraintType.INEQUALITY, multiplier=multiplier)
        ascent = torch.optim.SGD(multiplier.parameters(), lr=rate, maximize=True)
        self._parts: tuple[Any, Any, Any] = (multiplier, constraint, ascent)  # in a tuple: no parameters of the network

    @property
    def value(self) -> float:
        """Lambda as a weight of the penalty."""
        multiplier = float(self._parts[0].weight.detach())
        return multiplier if self.on == "penalty" else 1 / multiplier

    def violated(self, violation: float) -> None:
        """One step of dual ascent; `violation`: how far the wish is missed, negative where there is room.

        What is not a number counts as missed.
        """
        cooper = _cooper()
        multiplier, constraint, ascent = self._parts
        counted = 1.0 if math.isnan(violation) else min(1.0, max(-1.0, violation))
        state = cooper.ConstraintState(violation=torch.tensor([counted], dtype=torch.float64))
        ascent.zero_grad()
        with torch.enable_grad():
            cooper.CMPState(observed_constraints={constraint: state}).compute_dual_lagrangian().backward()
        ascent.step()
        multiplier.post_step_()
        multiplier.weight.data.clamp_(*self._bounds)

    def get_extra_state(self) -> torch.Tensor:
        """Lambda, for the checkpoint."""
        return self._parts[0].weight.detach().clone()

    def set_extra_state(self, state: torch.Tensor) -> None:
        """From the checkpoint."""
        self._parts[0].weight.data.copy_(state)


def _cooper() -> Any:
    try:
        return importlib.import_module("cooper")
    except ImportError:
        raise MissingPackageError("cooper-optim", "train", "a wish") from None
