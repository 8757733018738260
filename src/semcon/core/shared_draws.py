"""Intervals over draws that all images share, above images: what is learned from few images depends on which these are.

Elsewhere every image has draws of its own, and the resamples of images tell of both. Where one draw is shared by all
that are judged, they tell of the images alone. So the draws' part is Student's, t times the standard error of the mean
over draws, added in quadrature to each half of the interval over images, as for training seeds (`core.seeds`). It errs
on the wide side: the part of an image's answer that depends on the draw is counted in both.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from semcon.core.record import Estimate
from semcon.core.seeds import seed_reach, widened
from semcon.core.summary import Summary

Floats = npt.NDArray[np.float64]
Cell = tuple[str | None, float | None, str]
"""Perturbation, severity and subset of a figure."""


def accuracy_by_draw(summary: Summary) -> dict[Cell, Floats]:
    """The accuracy of every draw, (D,), of all images and of each class."""
    images, found = summary.images, dict[Cell, Floats]()
    subsets = {"all": np.arange(len(images))} | {f"class:{name}": index for name, index in images.classes.items()}
    rows = summary.table.rows.filter(pl.col("draws") == "random")
    for (name, severity), cell in rows.group_by("perturbation", "severity", maintain_order=True):
        draws, places = cell["draw"].to_numpy(), images.rows(cell["position"].to_numpy())
        right = np.zeros((int(draws.max()) + 1, len(images)))
        right[draws, places] = cell["prediction"].to_numpy() == images.labels[places]
        found |= {(str(name), float(severity), subset): right[:, index].mean(1) for subset, index in subsets.items()}  # pyright: ignore[reportArgumentType]
    return found


def over_draws(one: Estimate, accuracies: Floats) -> Estimate:
    """A mean over draws, whose interval is one over images, with an interval over both; within [0, 1]."""
    if one.mean is None or one.low is None or one.high is None:
        return one
    value, low, high = (np.array([each]) for each in (one.mean, one.low, one.high))
    low, high = widened(value, low, high, seed_reach(np.zeros((len(accuracies), 1)), accuracies[:, None]))
    return one.model_copy(update={"low": max(0.0, float(low[0])), "high": min(1.0, float(high[0]))})
