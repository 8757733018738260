"""Figures that are medians: the critical severity, censored where no severity changed the prediction; gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from semcon.core.figures import Figures, Key
from semcon.core.images import Images
from semcon.core.survival import resampled_medians
from semcon.core.table import SampleTable

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def gradient_norms(images: Images, subsets: dict[str, Integers]) -> Iterator[Figures]:
    """The median `gradient_norm` of each subset (name -> places); nothing where none was measured."""
    norms = images.column("gradient_norm")
    if np.isfinite(norms).any():
        yield from _each(images, norms, np.ones(len(norms), bool), subsets, None, "gradient_norm")


def critical_severities(
    table: SampleTable, numbers: Integers, images: Images, subsets: dict[str, Integers], perturbation: str
) -> Iterator[Figures]:
    """The median `critical_severity` of each subset under a perturbation, whose rows `numbers` are; nothing without."""
    kinds = table.rows["draws"].gather(numbers)
    rows = numbers[(kinds == "critical").to_numpy()]
    if len(rows):
        times, observed = _times(table.rows[rows], images)
        yield from _each(images, times, observed, subsets, perturbation, "critical_severity")


def _times(rows: pl.DataFrame, images: Images) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Critical severity or where it was censored, and whether it was found: (N,), (N,); NaN where there is no row."""
    place = images.rows(rows["position"].to_numpy())
    times, observed = np.full(len(images), np.nan), np.zeros(len(images), bool)
    found = rows["critical"].is_not_null() & rows["critical"].is_finite()
    times[place] = rows.select(pl.when(found).then("critical").otherwise("censored_at")).to_series().to_numpy()
    observed[place] = found.to_numpy()
    return times, observed


def _each(
    images: Images, times: Floats, observed: npt.NDArray[np.bool_], subsets: dict[str, Integers],
    perturbation: str | None, quantity: str,
) -> Iterator[Figures]:  # fmt: skip
    for subset, places in subsets.items():
        index = places[np.isfinite(times[places])]
        value, draws = resampled_medians(times[index], observed[index], images.weights, index)
        late = times[index][~observed[index]]
        yield Figures(
            keys=(Key(perturbation, None, "random", None, None, quantity, subset, "median"),),
            values=np.array([value]),
            draws=draws[None],
            samples=np.array([images.distinct(index)]),
            clusters=np.array([images.clusters(index)]),
            rows=np.array([np.nan]),
            censored=np.array([np.nan if perturbation is None or not len(index) else len(late) / len(index)]),
            beyond=np.array([late.max() if len(late) else np.nan]),
        )
