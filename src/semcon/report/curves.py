"""Change against severity: for every perturbation three small multiples, random draws and the worst case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from semcon.core.record import Estimate, PerturbationRecord
from semcon.report.figures import Curve, Point, change_panel, top_of
from semcon.report.numbers import interval, number, percent, plain, words
from semcon.report.reading import FAMILIES, QUANTITIES, Reading

SHOWN = ("relative_change", "flip", "accuracy")
HEADER = ("run", "perturbation", "severity", "draws", "quantity", "mean", "low", "high")


@dataclass(frozen=True)
class Panel:
    """One small multiple."""

    title: str
    figure: Markup


@dataclass(frozen=True)
class Card:
    """One perturbation. `critical`: a sentence a run about the severity at which the prediction first changes."""

    name: str
    unit: str
    panels: tuple[Panel, ...]
    critical: tuple[tuple[int, str, str], ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Group:
    """The cards of one family."""

    title: str
    cards: tuple[Card, ...]


def curve_groups(runs: Sequence[Reading]) -> tuple[Group, ...]:
    """All perturbations of all runs, family by family; axes are shared so that panels can be compared."""
    used: dict[str, PerturbationRecord] = {}
    for run in runs:
        used.update({p.name: p for p in run.perturbations if p.name not in used})
    order = list(FAMILIES)
    ordered = sorted(used.values(), key=lambda p: order.index(p.family) if p.family in order else len(order))
    everything = [curve for p in ordered for curve in _curves(runs, p.name, "relative_change")]
    tops = {"relative_change": top_of(everything)}
    return tuple(
        Group(FAMILIES.get(family, words(family)), tuple(_card(runs, p, tops) for p in members))
        for family, members in groupby(ordered, key=lambda p: p.family)
    )


def curve_rows(runs: Sequence[Reading]) -> list[tuple[str | float | None, ...]]:
    """The numbers behind all panels, exact, for the CSV."""
    rows: list[tuple[str | float | None, ...]] = []
    for run in runs:
        for perturbation in run.perturbations:
            for quantity in SHOWN:
                for draws in ("random", "worst"):
                    for severity in perturbation.severities:
                        found = run.get(quantity, perturbation.name, severity, draws=draws)
                        if found is not None:
                            key = (run.label, perturbation.name, severity, draws, quantity)
                            rows.append((*key, found.mean, found.low, found.high))
    return rows


def _card(runs: Sequence[Reading], perturbation: PerturbationRecord, tops: dict[str, float]) -> Card:
    severities = [s for run in runs if (p := run.perturbation(perturbation.name)) for s in p.severities]
    panels: list[Panel] = []
    for quantity in SHOWN:
        curves = _curves(runs, perturbation.name, quantity)
        if curves:
            level = runs[0].accuracy.mean if quantity == "accuracy" and len(runs) == 1 and runs[0].accuracy else None
            figure = change_panel(
                f"{words(perturbation.name)}: {QUANTITIES[quantity]}", curves, right=max(severities),
                top=tops.get(quantity, 1.0), level=level,
            )  # fmt: skip
            panels.append(Panel(QUANTITIES[quantity], figure))
    critical = tuple(
        (place, run.label, sentence)
        for place, run in enumerate(runs)
        if (sentence := _critical(run, perturbation.name))
    )
    return Card(words(perturbation.name), perturbation.unit, tuple(panels), critical, _table(runs, perturbation.name))


def _curves(runs: Sequence[Reading], perturbation: str, quantity: str) -> list[Curve]:
    """One curve a run, and its worst case where one was searched; a strength of 0 is the untouched image."""
    curves: list[Curve] = []
    for place, run in enumerate(runs):
        used = run.perturbation(perturbation)
        if used is None:
            continue
        for draws in ("random", "worst"):
            found = [run.get(quantity, perturbation, severity, draws=draws) for severity in used.severities]
            points = [point for estimate in found if estimate and (point := _point(estimate))]
            if not points:
                continue
            name = f"{run.label}, {draws}" if len(runs) > 1 else draws
            origin = () if used.kind == "place" else _origin(run, quantity)
            curves.append(Curve(name, f"run-{place % 8} {draws}", (*origin, *points)))
    return curves


def _origin(run: Reading, quantity: str) -> tuple[Point, ...]:
    if quantity != "accuracy":
        return (Point(0.0, 0.0, 0.0, 0.0),)
    clean = run.accuracy
    return () if clean is None or clean.mean is None else (Point(0.0, clean.mean, clean.low, clean.high),)


def _point(estimate: Estimate) -> Point | None:
    if estimate.mean is None or estimate.severity is None:
        return None
    return Point(estimate.severity, estimate.mean, estimate.low, estimate.high)


def _critical(run: Reading, perturbation: str) -> str:
    """At which severity half of the predictions have changed, and for how many images there is none."""
    found = run.get("critical_severity", perturbation)
    if found is None:
        return ""
    never = f"none for {percent(found.censored)} of the images" if found.censored is not None else ""
    if found.mean is None:
        return f"critical severity: beyond the ladder; {never}" if never else ""
    spread = interval(found.low, found.high, found.mean)
    if found.low is not None and found.high is None:
        spread = f"[{number(found.low)}, beyond the ladder]"
    text = f"critical severity {number(found.mean)} {spread}".rstrip()
    return f"{text}; {never}" if never else text


def _table(runs: Sequence[Reading], perturbation: str) -> tuple[tuple[str, ...], ...]:
    """A row per run, severity and kind of draw, written for people."""
    rows: list[tuple[str, ...]] = []
    for run in runs:
        used = run.perturbation(perturbation)
        for severity in used.severities if used else ():
            for draws in ("random", "worst"):
                found = [run.get(quantity, perturbation, severity, draws=draws) for quantity in SHOWN]
                if any(found):
                    texts = [f"{number(e.mean)} {interval(e.low, e.high, e.mean)}" if e else "" for e in found]
                    rows.append((run.label, plain(severity), draws, *texts))
    return tuple(rows)
