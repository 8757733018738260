"""Where in the network the change arises: relative change from the pixels through the layers to the probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from semcon.core.record import GaugeInfo
from semcon.report.figures import Curve, Point, depth_panel, top_of
from semcon.report.numbers import number, plain, words
from semcon.report.reading import FAMILIES, Reading

HEADER = ("run", "perturbation", "severity", "representation", "distance", "mean", "low", "high")


@dataclass(frozen=True)
class Depth:
    """One run. `figures`: title and panel of each family; `layers` and `rows`: the same numbers as a table."""

    label: str
    figures: tuple[tuple[str, Markup], ...]
    layers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    unlike: tuple[str, ...]


def depths(runs: Sequence[Reading]) -> tuple[Depth, ...]:
    """A figure per family for every run that looked at more than one representation; a family has one axis in all."""
    several = [(run, _by_family(run)) for run in runs if len(run.depth()) > 1]
    together: dict[str, list[Curve]] = {}
    for _, families in several:
        for family, curves in families.items():
            together.setdefault(family, []).extend(curves)
    tops = {family: top_of(curves) for family, curves in together.items()}
    return tuple(_depth(run, families, tops) for run, families in several)


def depth_rows(runs: Sequence[Reading]) -> list[tuple[str | float | None, ...]]:
    """The numbers behind the figures, exact, for the CSV."""
    return [
        (run.label, p.name, severity, gauge.representation, gauge.distance, found.mean, found.low, found.high)
        for run in runs
        for p in run.perturbations
        for severity in [middle(p.severities)]
        for gauge in run.depth()
        if (found := run.get("relative_change", p.name, severity, gauge=gauge)) is not None
    ]


def middle(severities: Sequence[float]) -> float:
    """The middle rung of a ladder: strong enough to see, mild enough not to saturate."""
    return sorted(severities)[len(severities) // 2]


def _by_family(run: Reading) -> dict[str, list[Curve]]:
    families: dict[str, list[Curve]] = {}
    for perturbation in run.perturbations:
        severity = middle(perturbation.severities)
        points: list[Point] = []
        for place, gauge in enumerate(run.depth()):
            found = run.get("relative_change", perturbation.name, severity, gauge=gauge)
            if found is not None and found.mean is not None:
                points.append(Point(place, found.mean, found.low, found.high))
        if points:
            members = families.setdefault(perturbation.family, [])
            name = f"{words(perturbation.name)} {plain(severity)}"
            members.append(Curve(name, f"tone-{len(members) % 7}", tuple(points)))
    return families


def _depth(run: Reading, families: dict[str, list[Curve]], tops: dict[str, float]) -> Depth:
    gauges = run.depth()
    names, places = [_name(gauge) for gauge in gauges], [gauge.representation for gauge in gauges]
    unlike = frozenset(place for place, gauge in enumerate(gauges) if not gauge.homogeneous)
    figures = tuple(
        (
            FAMILIES.get(family, words(family)),
            depth_panel(FAMILIES.get(family, family), places, members, top=tops[family], unlike=unlike),
        )
        for family, members in families.items()
    )
    rows: list[tuple[str, ...]] = []
    for perturbation in run.perturbations:
        severity = middle(perturbation.severities)
        found = [run.get("relative_change", perturbation.name, severity, gauge=gauge) for gauge in gauges]
        rows.append((words(perturbation.name), plain(severity), *(number(e.mean if e else None) for e in found)))
    return Depth(run.label, figures, tuple(names), tuple(rows), tuple(names[place] for place in sorted(unlike)))


def _name(gauge: GaugeInfo) -> str:
    return gauge.representation if gauge.distance == "l2" else f"{gauge.representation} ({words(gauge.distance)})"
