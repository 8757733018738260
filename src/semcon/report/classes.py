"""Which classes suffer: a heat map of classes against perturbations, at each perturbation's highest severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semcon.report.axes import round_up
from semcon.report.numbers import interval, number, plain, words
from semcon.report.reading import QUANTITIES, Reading

SHOWN = ("flip", "within_class_change")
MOST = 40
HEADER = ("run", "quantity", "class", "perturbation", "severity", "mean", "low", "high")


@dataclass(frozen=True)
class Square:
    """One class under one perturbation; `heat`: share of the scale, 0 to 1."""

    text: str
    told: str
    heat: float
    mean: float | None


@dataclass(frozen=True)
class HeatMap:
    """One quantity of one run. `columns`: perturbation and severity; `rows`: class and squares."""

    label: str
    quantity: str
    title: str
    top: float
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[Square, ...]], ...]
    left_out: int


def heat_maps(runs: Sequence[Reading]) -> tuple[HeatMap, ...]:
    """A map per run and quantity; none without labels."""
    return tuple(found for run in runs for quantity in SHOWN if (found := _heat_map(run, quantity)))


def class_rows(runs: Sequence[Reading]) -> list[tuple[str | float | None, ...]]:
    """The numbers of all classes, exact, for the CSV."""
    return [
        (run.label, quantity, name, p.name, max(p.severities), found.mean, found.low, found.high)
        for run in runs
        for quantity in SHOWN
        for name in run.classes()
        for p in run.perturbations
        if (found := run.get(quantity, p.name, max(p.severities), subset=f"class:{name}")) is not None
    ]


def _heat_map(run: Reading, quantity: str) -> HeatMap | None:
    columns = [(p.name, max(p.severities)) for p in run.perturbations]
    values = {
        name: [run.get(quantity, perturbation, severity, subset=f"class:{name}") for perturbation, severity in columns]
        for name in run.classes()
    }
    values = {name: found for name, found in values.items() if any(e and e.mean is not None for e in found)}
    if not values:
        return None
    highest = max(e.mean for found in values.values() for e in found if e and e.mean is not None)
    top = 1.0 if quantity == "flip" else round_up(highest)

    def suffering(name: str) -> float:
        return -sum(e.mean for e in values[name] if e and e.mean is not None)

    shown = list(values)
    if len(values) > MOST:
        shown = sorted(values, key=suffering)[:MOST]
    rows = tuple(
        (
            name,
            tuple(
                Square(
                    _brief(e.mean if e else None), f"{number(e.mean)} {interval(e.low, e.high, e.mean)}" if e else "",
                    min(1.0, (e.mean or 0.0) / top) if e else 0.0, e.mean if e else None,
                )
                for e in values[name]
            ),
        )
        for name in shown
    )  # fmt: skip
    heads = tuple((words(name), plain(severity)) for name, severity in columns)
    return HeatMap(run.label, quantity, QUANTITIES[quantity], top, heads, rows, len(values) - len(shown))


def _brief(value: float | None) -> str:
    """Two digits fit a square: `.36`, `1.2`."""
    if value is None:
        return "–"
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else f"{value:.1f}"
