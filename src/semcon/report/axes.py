"""Axes of the report's figures: a linear scale and ticks at round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Values `low`..`high` to pixels `start`..`end`, clipped to them."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies, in pixels."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))


def step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that cuts `span` into at most `most` parts."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= rough * (1 - 1e-9))


def ticks(high: float, most: int = 3) -> list[float]:
    """Round numbers from 0 to at most `high`."""
    if not high > 0:
        return [0.0]
    size = step(high, most)
    return [round(size * count, 12) for count in range(math.floor(high / size + 1e-9) + 1)]


def round_up(value: float, most: int = 3) -> float:
    """The next round number at or above `value`, for the top of an axis."""
    if not value > 0:
        return 1.0
    size = step(value, 2 * most)
    return round(size * math.ceil(value / size - 1e-9), 12)
