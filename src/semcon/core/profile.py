"""The continuity profile: one row per family of perturbations and quantity, so that models can be held side by side.

A family's figure is the plain mean over its cells (each perturbation at each of its severities, random draws) of the
primary gauge's figures. It depends on which perturbations and severities were measured: compare equal plans only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semcon.core.figures import RATES, Figures, Key
from semcon.core.intervals import finite
from semcon.core.record import ProfileRow
from semcon.core.summary import Summary
from semcon.core.table import SampleTable

Floats = npt.NDArray[np.float64]
QUANTITIES = ("relative_change", "within_class_change", "discontinuity", "flip", "accuracy", "confidence_drop")


def profile(
    table: SampleTable, families: Mapping[str, str], *, seed: int = 0, primary: str = "logits.l2"
) -> list[ProfileRow]:
    """The profile of a table. `families`: perturbation name -> family. Rows in the order of first appearance."""
    figures = profile_figures(table, families, seed=seed, primary=primary)
    if figures is None:
        return []
    low, high = figures.bounds()
    members = {
        family: tuple(p for p in table.perturbations if families.get(p) == family) for family in families.values()
    }
    return [
        ProfileRow(
            family=str(key.perturbation), quantity=key.quantity, mean=finite(figures.values[row]),
            low=finite(low[row]), high=finite(high[row]), samples=int(figures.samples[row]),
            perturbations=members[str(key.perturbation)],
        )
        for row, key in enumerate(figures.keys)
    ]  # fmt: skip


def profile_figures(
    table: SampleTable, families: Mapping[str, str], *, seed: int = 0, primary: str = "logits.l2"
) -> Figures | None:
    """The same with resamples; a key's `perturbation` is the family. None where none of `families` was measured."""
    summary = Summary(table, seed, primary, only=(primary,), subsets="all")
    everything = (figures for name in summary.names if name in families for figures in summary.cells(name))
    return profile_of(everything, families, primary)


def in_profile(key: Key, primary: str, subset: str = "all") -> bool:
    """Whether a figure is a cell of the profile."""
    gauge = None if key.representation is None else f"{key.representation}.{key.distance}"
    plain = key.perturbation is not None and key.draws == "random" and key.subset == subset
    return plain and key.quantity in QUANTITIES and gauge in (None, primary)


def profile_of(
    everything: Iterable[Figures], families: Mapping[str, str], primary: str, subset: str = "all"
) -> Figures | None:
    """The profile of figures that are there already; what is no cell of it is left out."""
    cells: dict[tuple[str, str], list[_Cell]] = {}
    for figures in everything:
        for row, key in enumerate(figures.keys):
            if key.perturbation is not None and in_profile(key, primary, subset):
                place = cells.setdefault((families[key.perturbation], key.quantity), [])
                place.append(
                    _Cell(
                        figures.values[row], figures.draws[row], int(figures.samples[row]), figures.clusters[row], key
                    )
                )  # fmt: skip
    order = {family: number for number, family in enumerate(dict.fromkeys(family for family, _ in cells))}
    places = sorted(cells, key=lambda place: (order[place[0]], QUANTITIES.index(place[1])))
    parts = [_mean_over(place[0], cells[place]) for place in places]
    return Figures.concat(parts) if parts else None


class _Cell(NamedTuple):
    """One figure of one perturbation at one severity."""

    value: float
    draws: Floats
    samples: int
    clusters: float
    key: Key


def _mean_over(family: str, cells: Sequence[_Cell]) -> Figures:
    """One row of the profile: cells without a value are left out."""
    known = [cell for cell in cells if np.isfinite(cell.value)]
    key = cells[0].key._replace(perturbation=family, severity=None)
    rows = np.array([np.inf]) if key.quantity in RATES else None
    if not known:
        return Figures.of_means([key], np.array([np.nan]), cells[0].draws[None], np.array([0]), np.zeros(1), rows)
    draws = np.stack([cell.draws for cell in known]).mean(axis=0, dtype=np.float64, keepdims=True)
    value = np.array([sum(cell.value for cell in known) / len(known)])
    samples, clusters = max(cell.samples for cell in known), max(cell.clusters for cell in known)
    return Figures.of_means([key], value, draws, np.array([samples]), np.array([clusters]), rows)
