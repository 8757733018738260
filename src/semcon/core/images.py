"""The images of a table in a fixed order, with their resamples and the subsets that figures are given for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from semcon.core.bootstrap import Weights
from semcon.core.nearest import Chances
from semcon.core.table import SampleTable

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Images sorted by sample id, then position: whatever the order of the table, sums run alike.

    `frame`: the table's own; `order` (N,): its rows as they stand here. `labels`: (N,), -1 without. `names`: of the
    outputs; numbers where missing.
    """

    frame: pl.DataFrame
    order: Integers
    weights: Weights
    names: Sequence[str] | None

    @classmethod
    def of(cls, table: SampleTable, *, seed: int, names: Sequence[str] | None = None) -> Images:
        """The images of a table with their keyed weights."""
        samples = table.images["sample"].to_numpy()
        order = np.lexsort((table.images["position"].to_numpy(), samples))
        return cls(table.images, order, Weights.of(samples[order], seed), names)

    def __len__(self) -> int:
        return len(self.order)

    def raw(self, name: str) -> pl.Series:
        """One column as it is in the table, in the order of the images here: (N,)."""
        return self.frame[name].gather(self.order)

    def column(self, name: str) -> Floats:
        """One column as float64, missing or infinite as NaN: (N,)."""
        values = self.raw(name).cast(pl.Float64).to_numpy().copy()
        values[~np.isfinite(values)] = np.nan
        return values

    @cached_property
    def labels(self) -> Integers:
        """(N,), -1 without."""
        return self.raw("label").cast(pl.Int64).fill_null(-1).to_numpy()

    @cached_property
    def predictions(self) -> Integers:
        """The class predicted on the untouched image: (N,)."""
        return self.raw("prediction").cast(pl.Int64).to_numpy()

    @property
    def labelled(self) -> bool:
        """Whether any image has a label."""
        return bool((self.labels >= 0).any())

    @cached_property
    def duplicated(self) -> bool:
        """Whether some images are the same."""
        samples = self.weights.samples  # in order
        return bool((samples[1:] == samples[:-1]).any())

    @cached_property
    def share(self) -> Floats:
        """What one nearer image counts: 1 over the number of same-class references, NaN where there is none: (N,)."""
        others = self.column("others")
        return np.divide(1.0, others, out=np.full(len(others), np.nan), where=others > 0)

    @cached_property
    def chances(self) -> Chances:
        """The exact chance of `any_nearer_20`, by table."""
        return Chances.of(self.column("others"))

    @cached_property
    def references(self) -> Integers:
        """Places of the references."""
        return np.flatnonzero(self.raw("reference").fill_null(False).to_numpy())

    @cached_property
    def correct(self) -> Integers:
        """Positions here of the images predicted right."""
        return np.flatnonzero((self.labels >= 0) & (self.labels == self.predictions))

    @cached_property
    def classes(self) -> dict[str, Integers]:
        """Positions here of the images of each class that occurs, by its name."""
        groups: dict[str, Integers] = {}
        for label in np.unique(self.labels[self.labels >= 0]).tolist():
            name = str(label) if self.names is None or label >= len(self.names) else str(self.names[label])
            groups[f"{name} ({label})" if name in groups else name] = np.flatnonzero(self.labels == label)
        return groups

    @cached_property
    def groups(self) -> dict[str, Integers]:
        """Positions here of the images of each group, `colour=red`; none where the table knows no attributes."""
        if "groups" not in self.frame.columns:
            return {}
        found: dict[str, list[int]] = {}
        for place, text in enumerate(self.raw("groups").to_list()):
            for name, value in json.loads(text or "{}").items():
                found.setdefault(f"{name}={value}", []).append(place)
        return {name: np.array(found[name], np.int64) for name in sorted(found)}

    def rows(self, positions: Integers) -> Integers:
        """Where the images with these positions stand here: (n,) -> (n,)."""
        own = self.raw("position").to_numpy()
        if self._direct is not None:
            return self._direct[positions]
        order = np.argsort(own, kind="stable")
        return order[np.searchsorted(own, positions, sorter=order)]

    @cached_property
    def _direct(self) -> Integers | None:
        """A look-up table where positions are small numbers."""
        own = self.raw("position").to_numpy()
        if not len(own) or own.min() < 0 or own.max() > 4 * len(own) + 1000:
            return None
        table = np.zeros(int(own.max()) + 1, np.int64)
        table[own] = np.arange(len(own))
        return table

    def distinct(self, index: Integers) -> int:
        """Different images among these."""
        return len(self.weights.multiplicities(index)) if self.duplicated else len(index)

    def clusters(self, index: Integers) -> float:
        """How many images without copies a mean over these is worth, by Kish: (sum m)^2 / sum m^2 of m copies each."""
        if not self.duplicated or not len(index):
            return float(len(index))
        return len(index) ** 2 / float((self.weights.multiplicities(index) ** 2).sum())
