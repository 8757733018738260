"""Alpha: what the penalty is multiplied by, a number, or a multiplier that a wish moves."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from semcon.core.errors import MissingPackageError


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
    cost (minimise the penalty; lambda is the loss's multiplier, so alpha is 1 / lambda). `rate`: how far lambda moves
    per unit of violation. Source: Gallego-Posada et al., arXiv 2504.01212 (the library), Platt and Barr 1987.
    """

    SMALLEST = 1 / 50  # of the loss's multiplier: alpha is never above 50

    def __init__(self, on: Literal["penalty", "loss"], start: float = 4.0, rate: float = 1.0) -> None:
        super().__init__(start)
        try:
            import cooper
        except ImportError:
            raise MissingPackageError("cooper-optim", "train", "a wish") from None
        self.on = on
        first = torch.tensor([start if on == "penalty" else 1 / start], dtype=torch.float64)
        multiplier = cooper.multipliers.DenseMultiplier(init=first)
        constraint = cooper.Constraint(constraint_type=cooper.ConstraintType.INEQUALITY, multiplier=multiplier)
        ascent = torch.optim.SGD(multiplier.parameters(), lr=rate, maximize=True)
        self._parts: tuple[Any, Any, Any] = (multiplier, constraint, ascent)  # in a tuple: no parameters of the network

    @property
    def value(self) -> float:
        """Lambda as a weight of the penalty."""
        multiplier = float(self._parts[0].weight.detach())
        return multiplier if self.on == "penalty" else 1 / max(multiplier, self.SMALLEST)

    def violated(self, violation: float) -> None:
        """One step of dual ascent; `violation`: how far the wish is missed, negative where there is room."""
        import cooper

        multiplier, constraint, ascent = self._parts
        state = cooper.ConstraintState(violation=torch.tensor([violation], dtype=torch.float64))
        ascent.zero_grad()
        with torch.enable_grad():
            cooper.CMPState(observed_constraints={constraint: state}).compute_dual_lagrangian().backward()
        ascent.step()
        multiplier.post_step_()

    def get_extra_state(self) -> torch.Tensor:
        """Lambda, for the checkpoint."""
        return self._parts[0].weight.detach().clone()

    def set_extra_state(self, state: torch.Tensor) -> None:
        """From the checkpoint."""
        self._parts[0].weight.data.copy_(state)
