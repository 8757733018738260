"""The sizes of attacks: eps in 1/255, everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from semcon.core.errors import SemconError
from semcon.core.registry import load


def eps_ladder(values: Sequence[float], norm: Literal["linf", "l2"] = "linf") -> tuple[float, ...]:
    """Sorted, each once. Errors: `SemconError` for what is not positive, or was meant as a share of 1 (below 0.1)."""
    ball = load("perturbations", norm)()
    ladder = tuple(sorted({ball.check_severity(float(value)) for value in values}))
    if ladder and ladder[0] == 0:
        raise SemconError("eps 0 is the untouched image: give sizes above 0, in 1/255, such as 2")
    return ladder
