"""The continuity profile: a row per family of perturbations, every figure with its interval, several runs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semcon.core.record import Estimate, ProfileRow
from semcon.report.axes import round_up
from semcon.report.numbers import interval, number, words
from semcon.report.reading import FAMILIES, QUANTITIES, Reading

COLUMNS = ("relative_change", "within_class_change", "discontinuity", "flip", "accuracy")
HEADER = ("run", "family", "quantity", "mean", "low", "high", "samples", "perturbations")
_SHARES = frozenset({"discontinuity", "flip", "accuracy"})


@dataclass(frozen=True)
class Cell:
    """One figure of one run: text for people, the exact values for scripts, shares of the axis for the bar."""

    run: int
    key: str
    text: str
    interval: str
    mean: float | None
    low: float | None
    high: float | None
    at: float
    start: float
    end: float


@dataclass(frozen=True)
class Column:
    """One quantity; `top`: the right end of its bars."""

    quantity: str
    title: str
    top: float


@dataclass(frozen=True)
class Row:
    """One family. `note`: the perturbations in it. `cells`: per column, one cell a run."""

    title: str
    note: str
    control: bool
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class ProfileTable:
    """What the page and its CSV show."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def profile_table(runs: Sequence[Reading]) -> ProfileTable:
    """Families in the report's order; columns that no run has (no labels) are left out."""
    families = list(dict.fromkeys(family for family in FAMILIES for run in runs if family in run.families))
    families += list(dict.fromkeys(f for run in runs for f in run.families if f not in families))
    columns = tuple(
        column
        for quantity in COLUMNS
        if (column := _column(quantity, [run.family(f, quantity) for f in families for run in runs]))
    )
    rows = [_control(runs, columns)] if any(run.accuracy for run in runs) else []
    for family in families:
        names = list(dict.fromkeys(p.name for run in runs for p in run.perturbations if p.family == family))
        cells = tuple(
            tuple(_cell(place, family, column, run.family(family, column.quantity)) for place, run in enumerate(runs))
            for column in columns
        )
        rows.append(Row(FAMILIES.get(family, words(family)), ", ".join(map(words, names)), False, cells))
    return ProfileTable(columns, tuple(rows))


def profile_rows(runs: Sequence[Reading]) -> list[tuple[str | float | None, ...]]:
    """The whole profile, exact, for the CSV."""
    return [
        (run.label, r.family, r.quantity, r.mean, r.low, r.high, r.samples, " ".join(r.perturbations))
        for run in runs
        for r in run.record.profile
    ]


def _control(runs: Sequence[Reading], columns: Sequence[Column]) -> Row:
    """The untouched images: nothing has changed, and accuracy is what it is."""
    cells = tuple(
        tuple(
            _cell(place, "untouched", column, run.accuracy if column.quantity == "accuracy" else None)
            for place, run in enumerate(runs)
        )
        for column in columns
    )
    return Row("untouched", "the images themselves", True, cells)


def _column(quantity: str, entries: Sequence[ProfileRow | None]) -> Column | None:
    known = [entry for entry in entries if entry is not None and entry.mean is not None]
    if not known:
        return None
    reach = max(entry.high if entry.high is not None else entry.mean or 0.0 for entry in known)
    return Column(quantity, QUANTITIES[quantity], 1.0 if quantity in _SHARES else round_up(reach))


def _cell(run: int, row: str, column: Column, entry: ProfileRow | Estimate | None) -> Cell:
    mean, low, high = (entry.mean, entry.low, entry.high) if entry is not None else (None, None, None)

    def share(value: float | None) -> float:
        return 0.0 if value is None else min(1.0, max(0.0, value / column.top))

    return Cell(
        run, f"{row}|{column.quantity}", number(mean), interval(low, high, mean), mean, low, high,
        at=share(mean), start=share(low), end=share(high),
    )  # fmt: skip
