"""What the rows of one perturbation say of each image: the mean over draws, per cell (severity, random or worst)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from semcon.core.explained import OF_COPIES, explained
from semcon.core.figures import Draws
from semcon.core.images import Images
from semcon.core.table import SampleTable

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Cell = tuple[float, Draws]
PIXELS = "pixels.l2"
OF_PATHS = tuple(
    f"{name}.{quantity}" for name in ("logits", "pixels") for quantity in ("straightness", "path_curvature")
)
_OF_CHANGE: dict[str, Draws] = {"random": "random", "worst_change": "worst"}
_OF_RATES: dict[str, Draws] = {"random": "random", "worst_flip": "worst"}


@dataclass(frozen=True)
class Cells:
    """One perturbation: `values[gauge or None, quantity]` is (cells, N) float32, NaN where an image has none.

    Those of a gauge are there between `read` and `forget`: all at once would be many times the rows.

    `draws`: rows per image, by cell. Quantities of a gauge: change, discontinuity, any_nearer_20, lipschitz (the change
    over the pixel change, not divided by the spread yet); of none: flip, confidence_drop, accuracy, and the
    columns of paths and of explanations.
    """

    perturbation: str
    cells: tuple[Cell, ...]
    draws: tuple[int, ...]
    values: dict[tuple[str | None, str], Singles]
    _rows: _Rows
    _images: Images
    _pixels: Floats | None

    def read(self, gauge: str) -> None:
        """Fill in the values of a gauge."""
        change = self._rows.column(f"{gauge}.change")
        self.values[gauge, "change"] = self._rows.means(change)
        if self._pixels is not None and gauge != PIXELS:
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = np.where(self._pixels > 0, change / self._pixels, np.nan)
            self.values[gauge, "lipschitz"] = self._rows.means(slope)
        if self._images.labelled:
            nearer, image = self._rows.column(f"{gauge}.nearer"), self._rows.image
            self.values[gauge, "discontinuity"] = self._rows.means(nearer * self._images.share[image])
            self.values[gauge, "any_nearer_20"] = self._rows.means(self._images.chances(nearer, image))

    def forget(self, gauge: str) -> None:
        """Drop the values of a gauge."""
        for key in [key for key in self.values if key[0] == gauge]:
            del self.values[key]


@dataclass(frozen=True)
class _Rows:
    """Some rows: `cell` and `image` of each, and the number of both."""

    frame: pl.DataFrame
    numbers: Integers
    cell: Integers
    image: Integers
    shape: tuple[int, int]

    def column(self, name: str) -> Floats:
        """One column of these rows as float64, missing or infinite as NaN."""
        values = self.frame[name].gather(self.numbers).cast(pl.Float64).to_numpy().copy()
        values[~np.isfinite(values)] = np.nan
        return values

    def means(self, values: Floats) -> Singles:
        """The mean over the rows of each image in each cell, NaN ones left out: (cells, N)."""
        flat = self.cell * self.shape[1] + self.image
        known = ~np.isnan(values)
        if not known.all():
            flat, values = flat[known], values[known]
        size = self.shape[0] * self.shape[1]
        count = np.bincount(flat, minlength=size)
        with np.errstate(invalid="ignore"):
            return (np.bincount(flat, values, minlength=size) / count).reshape(self.shape).astype(np.float32)


@dataclass(frozen=True)
class RowIndex:
    """Which rows belong to which perturbation: `names` as they first appear, `codes` of the rows."""

    names: list[str]
    codes: npt.NDArray[np.integer]

    @classmethod
    def of(cls, table: SampleTable) -> RowIndex:
        """Read from the table once."""
        names = table.perturbations
        return cls(names, table.rows["perturbation"].cast(pl.Enum(names)).to_physical().to_numpy())

    def of_name(self, name: str) -> Integers:
        """Numbers of the rows of one perturbation."""
        return np.flatnonzero(self.codes == self.names.index(name))


def read_cells(table: SampleTable, numbers: Integers, images: Images, name: str) -> Cells | None:
    """The cells of one perturbation, whose rows these are, without gauges yet; None where it has critical rows only."""
    facts = table.rows.select(pl.col("draws", "severity", "position").gather(numbers))
    copies = pl.col("draws").is_in([*_OF_CHANGE, *_OF_RATES]) & pl.col("severity").is_not_null()
    seen = facts.filter(copies).select("draws", "severity").unique()
    pairs = {(severity, _OF_CHANGE.get(kind, "worst")) for kind, severity in seen.iter_rows()}
    cells: tuple[Cell, ...] = tuple(
        (severity, draws) for draws in ("random", "worst") for severity in sorted(s for s, d in pairs if d == draws)
    )
    if not cells:
        return None
    of_change, of_rates = (_rows(table.rows, facts, numbers, images, cells, kinds) for kinds in (_OF_CHANGE, _OF_RATES))
    per_image = np.bincount(of_rates.cell, minlength=len(cells)) / max(1, len(images))
    pixels = of_change.column(f"{PIXELS}.change") if f"{PIXELS}.change" in table.rows.columns else None
    draws = tuple(max(1, int(np.ceil(n))) for n in per_image)
    return Cells(name, cells, draws, _rates(of_rates, images), of_change, images, pixels)


def _rows(
    frame: pl.DataFrame, facts: pl.DataFrame, numbers: Integers, images: Images, cells: tuple[Cell, ...],
    kinds: dict[str, Draws],
) -> _Rows:  # fmt: skip
    """The rows of these kinds of draws, each in its cell. `facts`: draws, severity, position of the rows `numbers`."""
    severities, drawn = facts["severity"].to_numpy(), facts["draws"].cast(pl.Categorical)
    cell = np.full(len(numbers), -1, np.int64)
    for kind, draws in kinds.items():
        here = (drawn == kind).to_numpy()
        for row, (severity, cell_draws) in enumerate(cells):
            if cell_draws == draws:
                cell[here & (severities == severity)] = row
    kept = np.flatnonzero(cell >= 0)
    places = images.rows(facts["position"].to_numpy()[kept])
    return _Rows(frame, numbers[kept], cell[kept], places, (len(cells), len(images)))


def _rates(rows: _Rows, images: Images) -> dict[tuple[str | None, str], Singles]:
    """What belongs to no gauge."""
    prediction = rows.column("prediction")
    own = images.predictions[rows.image]
    drop = images.column("confidence")[rows.image] - rows.column("confidence")
    values: dict[tuple[str | None, str], Singles] = {
        (None, "flip"): rows.means((prediction != own).astype(np.float64)),
        (None, "confidence_drop"): rows.means(drop),
    }
    if images.labelled:
        label = images.labels[rows.image]
        right = np.where(label >= 0, (prediction == label).astype(np.float64), np.nan)
        values[None, "accuracy"] = rows.means(right)
    for column in (*OF_PATHS, *explained(rows.frame.columns, OF_COPIES)):
        if column in rows.frame.columns:
            values[None, column] = rows.means(rows.column(column))
    return values
