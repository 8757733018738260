"""Differences between figures whose draws are shared by all images, and by both sides: paired draw by draw as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from semcon.core.difference import OVERALL, Difference
from semcon.core.seeds import seed_error, seed_p, seed_reach, widened
from semcon.core.shared_draws import Cell, accuracy_by_draw
from semcon.core.summary import Summary

Floats = npt.NDArray[np.float64]
TEST = "the larger of the exact sign test over images and the t test over draws and images"


class SharedDraws:
    """What every draw says of both sides. `family`: the name under which a profile has the mean over everything."""

    def __init__(self, first: Sequence[Summary], second: Sequence[Summary], family: str) -> None:
        one, two = (_mean([accuracy_by_draw(run) for run in side]) for side in (first, second))
        self.first, self.second = _with_overall(one, family), _with_overall(two, family)

    def over(self, found: Sequence[Difference]) -> tuple[Difference, ...]:
        """The same differences with intervals and tests over draws above images."""
        return tuple(self._over(one) for one in found)

    def _over(self, one: Difference) -> Difference:
        cell = one.perturbation, one.severity, one.subset
        if one.quantity != "accuracy" or cell not in self.first or cell not in self.second:
            return one
        if one.difference is None or one.low is None or one.high is None:
            return one
        value, low, high = (np.array([each]) for each in (one.difference, one.low, one.high))
        sides = self.first[cell][:, None], self.second[cell][:, None]
        wide = widened(value, low, high, seed_reach(*sides))
        made = replace(one, low=max(-1.0, float(wide[0][0])), high=min(1.0, float(wide[1][0])))
        if one.p is None or len(sides[0]) < 2:
            return made
        half = np.where(value > 0, value - low, high - value)
        return replace(made, p=max(one.p, float(seed_p(value, half, *seed_error(*sides))[0])), test=TEST)


def _mean(runs: Sequence[Mapping[Cell, Floats]]) -> dict[Cell, Floats]:
    """Over the runs of a side, draw by draw."""
    shared = [cell for cell in runs[0] if all(cell in run for run in runs)]
    return {cell: np.mean([run[cell] for run in runs], axis=0) for cell in shared}


def _with_overall(cells: dict[Cell, Floats], family: str) -> dict[Cell, Floats]:
    """With the mean over everything of each draw; what has one draw is the same in all."""
    every = [values for (_, _, subset), values in cells.items() if subset == "all"]
    overall = np.mean(np.broadcast_arrays(*every), axis=0) if every else np.zeros(1)
    return cells | {(name, None, "all"): overall for name in (family, OVERALL)}
