"""Alpha: what the penalty is multiplied by, a number or a multiplier that serves a wish."""

from __future__ import annotations

from torch import nn


class Alpha(nn.Module):
    """A fixed weight."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = float(value)

    @property
    def value(self) -> float:
        """The weight of the next step."""
        return self._value
