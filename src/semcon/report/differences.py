"""Paired differences between runs, as the page and the terminal show them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DifferenceRow:
    """One difference with its interval, written for people. `sign`: plus or minus where the interval leaves out 0."""

    key: str
    what: str
    quantity: str
    first: str
    second: str
    difference: str
    sign: str
    mean: float | None


@dataclass(frozen=True)
class DifferenceTable:
    """One run against the first."""

    title: str
    first: str
    second: str
    caption: str
    rows: tuple[DifferenceRow, ...]
    left_out: str
