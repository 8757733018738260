"""Figures that are medians: the critical severity, censored where no severity changed the prediction; slopes."""

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


def image_medians(images: Images, subsets: dict[str, Integers]) -> Iterator[Figures]:
    """The median `gradient_norm` and `input_curvature` of each subset (name -> places); nothing where not measured."""
    for quantity in ("gradient_norm", "input_curvature"):
        values = images.column(quantity) if quantity in images.frame.columns else np.full(len(images), np.nan)
        if np.isfinite(values).any():
            key = Key(None, None, "random", None, None, quantity, "all", "median")
            yield from _each(images, values, np.ones(len(values), bool), subsets, key)


def lipschitz_constants(
    table: SampleTable, numbers: Integers, images: Images, subsets: dict[str, Integers], perturbation: str
) -> Iterator[Figures]:
    """The median largest `lipschitz` of each subset at each severity; `numbers`: the perturbation's rows."""
    if "lipschitz" not in table.rows.columns:
        return
    rows = table.rows.select(pl.col("position", "severity", "draws", "lipschitz").gather(numbers))
    rows = rows.filter(pl.col("draws") == "worst_slope")
    for (severity,), part in rows.group_by("severity", maintain_order=True):
        values = np.full(len(images), np.nan)
        values[images.rows(part["position"].to_numpy())] = (
            part["lipschitz"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        )
        key = Key(perturbation, float(str(severity)), "worst", None, None, "lipschitz", "all", "median")
        yield from _each(images, values, np.ones(len(values), bool), subsets, key)


def critical_severities(
    table: SampleTable, numbers: Integers, images: Images, subsets: dict[str, Integers], perturbation: str
) -> Iterator[Figures]:
    """The median `critical_severity` of each subset under a perturbation, whose rows `numbers` are; nothing without."""
    kinds = table.rows["draws"].gather(numbers)
    rows = numbers[(kinds == "critical").to_numpy()]
    if len(rows):
        times, observed = _times(table.rows[rows], images)
        key = Key(perturbation, None, "random", None, None, "critical_severity", "all", "median")
        yield from _each(images, times, observed, subsets, key)


def _times(rows: pl.DataFrame, images: Images) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Critical severity or where it was censored, and whether it was found: (N,), (N,); NaN where there is no row."""
    place = images.rows(rows["position"].to_numpy())
    times, observed = np.full(len(images), np.nan), np.zeros(len(images), bool)
    found = rows["critical"].is_not_null() & rows["critical"].is_finite()
    times[place] = rows.select(pl.when(found).then("critical").otherwise("censored_at")).to_series().to_numpy()
    observed[place] = found.to_numpy()
    return times, observed


def _each(
    images: Images, times: Floats, observed: npt.NDArray[np.bool_], subsets: dict[str, Integers], key: Key
) -> Iterator[Figures]:
    """The median over each subset; `key`: of what, for any of them."""
    censorable = key.quantity == "critical_severity"
    for subset, places in subsets.items():
        index = places[np.isfinite(times[places])]
        value, draws = resampled_medians(times[index], observed[index], images.weights, index)
        late = times[index][~observed[index]]
        yield Figures(
            keys=(key._replace(subset=subset),),
            values=np.array([value]),
            draws=draws[None],
            samples=np.array([images.distinct(index)]),
            clusters=np.array([images.clusters(index)]),
            rows=np.array([np.nan]),
            censored=np.array([len(late) / len(index) if censorable and len(index) else np.nan]),
            beyond=np.array([late.max() if len(late) else np.nan]),
        )
