"""Paired differences between runs, as the page and the terminal show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DifferenceRow:
    """One difference, for people and exact. `sign`: plus or minus where the interval leaves out 0, else empty."""

    key: str
    what: str
    quantity: str
    first: str
    second: str
    difference: str
    sign: str
    mean: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DifferenceTable:
    """One run against the first."""

    title: str
    first: str
    second: str
    caption: str
    rows: tuple[DifferenceRow, ...]
    left_out: str


HEADER = ("minuend", "subtrahend", "what", "quantity", "difference", "low", "high", "key")


def difference_rows(tables: Sequence[DifferenceTable]) -> list[tuple[str | float | None, ...]]:
    """The differences, exact, for the CSV."""
    return [
        (table.second, table.first, row.what, row.quantity, row.mean, row.low, row.high, row.key)
        for table in tables
        for row in table.rows
    ]
