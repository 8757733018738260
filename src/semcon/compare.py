"""Runs side by side: paired differences on the same images and draws, and a refusal of what is not comparable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from semcon.core.bootstrap import TAIL, percentiles
from semcon.core.errors import SemconError
from semcon.core.figures import Figures, Key
from semcon.core.intervals import difference_interval
from semcon.core.profile import profile_figures
from semcon.core.record import PerturbationRecord, Record
from semcon.core.summary import Summary
from semcon.report.differences import DifferenceRow, DifferenceTable
from semcon.report.html import render
from semcon.report.numbers import decimals, number, plain, words
from semcon.report.reading import FAMILIES, QUANTITIES, Reading, readings
from semcon.report.text import show
from semcon.run_record import RunRecord, write_page

Floats = npt.NDArray[np.float64]
SHOWN = ("relative_change", "within_class_change", "flip", "accuracy", "discontinuity", "critical_severity")
MOST = 40


@dataclass(frozen=True)
class Difference:
    """One figure of the second run minus the same of the first, paired image by image; 95 % interval.

    `low` and `high` are None where there is none: a single image, or a median that too many resamples do not reach.
    """

    perturbation: str | None
    severity: float | None
    draws: str
    representation: str | None
    distance: str | None
    quantity: str
    subset: str
    statistic: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    samples: int


@dataclass(frozen=True)
class Comparison:
    """Two runs held side by side. `left_out`: what only one of them measured."""

    first: RunRecord
    second: RunRecord
    differences: tuple[Difference, ...]
    profile: tuple[Difference, ...]
    left_out: tuple[str, ...]


def compare(first: RunRecord, second: RunRecord) -> Comparison:
    """Every figure that both runs have, but the raw change, which has the scale of each model's representation.

    Errors: `SemconError` naming the setting that differs.
    """
    check_comparable(first, second)
    names = [name for name in _perturbations(first) if name in _perturbations(second)]
    gauges = tuple(name for name in _gauges(first) if name in _gauges(second))
    one, two = (_summary(run, gauges) for run in (first, second))
    differences = list(_differences(one.untouched(), two.untouched()))
    for name in names:
        differences += _differences(one.under(name), two.under(name))
    families = {name: _perturbations(first)[name].family for name in names}
    return Comparison(
        first, second, tuple(differences), tuple(_profile(first, second, families)),
        tuple(sorted(_names(first) ^ _names(second))),
    )  # fmt: skip


def check_comparable(first: RunRecord, second: RunRecord) -> None:
    """Errors: `SemconError` where images or a setting differ that figures depend on, with both values."""
    a, b = first.record, second.record
    settings: list[tuple[str, object, object]] = [
        ("canvas", _canvas(first), _canvas(second)),
        ("seed", a.settings.seed, b.settings.seed),
        ("draws", a.settings.draws, b.settings.draws),
        ("evaluation version", a.settings.evaluation_version, b.settings.evaluation_version),
        ("primary gauge", a.settings.primary, b.settings.primary),
    ]
    if a.settings.worst is not None and b.settings.worst is not None:
        settings.append(("search", a.settings.worst, b.settings.worst))
    for name, one in _perturbations(first).items():
        two = _perturbations(second).get(name)
        if two is not None:
            settings.append((f"ladder of {name}", _ladder(one), _ladder(two)))
            settings.append((f"version of {name}", one.version, two.version))
            settings.append((f"number of draws of {name}", one.draws, two.draws))
    known = {gauge.name: gauge.homogeneous for gauge in b.settings.gauges}
    for gauge in a.settings.gauges:
        if gauge.name in known:
            settings.append((f"scale-freeness of {gauge.name}", gauge.homogeneous, known[gauge.name]))
    for name, was, now in settings:
        if was != now:
            raise SemconError(
                f"{first.folder} and {second.folder} are not comparable: {name} is {was} and {now}. "
                "Audit both with the same setting"
            )
    _check_images(first, second)
    if not set(_perturbations(first)) & set(_perturbations(second)):
        raise SemconError(f"{first.folder} and {second.folder} have no perturbation in common")


def _check_images(first: RunRecord, second: RunRecord) -> None:
    one, two = (run.samples.images["sample"].sort() for run in (first, second))
    if not one.equals(two):
        shared = len(set(one.to_list()) & set(two.to_list()))
        raise SemconError(
            f"{first.folder} and {second.folder} are not comparable: their images differ ({len(one)} and {len(two)}, "
            f"{shared} in common). Audit both on the same data with the same --limit"
        )


@dataclass(frozen=True)
class SideBySide:
    """Several runs with their differences from the first, as a page, a terminal table or JSON."""

    runs: tuple[RunRecord, ...]
    comparisons: tuple[Comparison, ...]

    @cached_property
    def reading(self) -> list[Reading]:
        """The runs as the reports read them."""
        return readings([(run.record, run.folder) for run in self.runs])

    @cached_property
    def tables(self) -> list[DifferenceTable]:
        """The differences for people."""
        first = self.reading[0].label
        pairs = zip(self.comparisons, self.reading[1:], strict=True)
        return [_table(comparison, first, other.label) for comparison, other in pairs]

    def show(self) -> None:
        """Print profiles and the largest differences."""
        show(Console(), self.reading, self.tables)

    def report(self, path: Path) -> Path:
        """Write the page; `path`: a folder, or a file ending in .html."""
        target = path if path.suffix in (".html", ".htm") else path / "report.html"
        return write_page(render(self.reading, self.tables), target)

    def to_json(self) -> dict[str, Any]:
        """The runs as each prints them, and the differences from the first."""
        return {
            "schema": 1,
            "runs": [run.to_json() for run in self.runs],
            "differences": [
                {
                    "first": one.first.record.subject.name,
                    "second": one.second.record.subject.name,
                    "left_out": list(one.left_out),
                    "estimates": [vars(difference) for difference in one.differences],
                    "profile": [vars(difference) for difference in one.profile],
                }
                for one in self.comparisons
            ],
        }


def side_by_side(runs: Sequence[RunRecord]) -> SideBySide:
    """Every run against the first. Errors: `SemconError` for runs that are not comparable."""
    return SideBySide(tuple(runs), tuple(compare(runs[0], other) for other in runs[1:]))


def _perturbations(run: RunRecord) -> dict[str, PerturbationRecord]:
    return {one.name: one for one in run.record.settings.perturbations}


def _gauges(run: RunRecord) -> list[str]:
    return [gauge.name for gauge in run.record.settings.gauges]


def _names(run: RunRecord) -> set[str]:
    return {*_perturbations(run), *_gauges(run)}


def _ladder(perturbation: PerturbationRecord) -> str:
    return "/".join(plain(severity) for severity in perturbation.severities)


def _canvas(run: RunRecord) -> str:
    canvas = run.record.subject.canvas
    resize = "" if canvas.resize is None else f", resized to {canvas.resize}"
    return f"{canvas.height} x {canvas.width}{resize}, {canvas.interpolation}, {canvas.crop}"


def _summary(run: RunRecord, gauges: tuple[str, ...]) -> Summary:
    settings = run.record.settings
    return Summary(run.samples, settings.seed, settings.primary, output_names(run.record), only=gauges)


def output_names(record: Record) -> list[str]:
    """A name for every output of a run's model: the data's where it has one, else the model's, else its number."""
    names = [str(number) for number in range(record.subject.outputs)]
    if record.subject.classes is not None:
        names = [own or number for own, number in zip(record.subject.classes, names, strict=True)]
    for output, name in zip(record.data.class_of_output or (), record.data.classes or (), strict=False):
        names[output] = name
    return names


def _differences(first: Iterator[Figures], second: Iterator[Figures]) -> Iterator[Difference]:
    """The figures with equal keys, subtracted resample by resample."""
    one, two = _collected(first), _collected(second)
    if one is None or two is None:
        return
    places = {key: row for row, key in enumerate(two.keys)}
    pairs = [(row, places[key]) for row, key in enumerate(one.keys) if key in places and _has_a_common_scale(key)]
    pairs = [(a, b) for a, b in pairs if np.isfinite(one.values[a]) and np.isfinite(two.values[b])]
    if not pairs:
        return
    one, two = one.take([a for a, _ in pairs]), two.take([b for _, b in pairs])
    low, high = paired_bounds(one, two)
    for row, key in enumerate(one.keys):
        yield Difference(
            *key, first=float(one.values[row]), second=float(two.values[row]),
            difference=float(two.values[row] - one.values[row]), low=_known(low[row]), high=_known(high[row]),
            samples=int(min(one.samples[row], two.samples[row])),
        )  # fmt: skip


def _has_a_common_scale(key: Key) -> bool:
    return key.quantity != "change" or key.representation == "pixels"


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _collected(figures: Iterator[Figures]) -> Figures | None:
    parts = list(figures)
    return Figures.concat(parts) if parts else None


def paired_bounds(one: Figures, two: Figures) -> tuple[Floats, Floats]:
    """95 % intervals of two - one, figure by figure: (k,), (k,); NaN where there is none.

    Percentiles of the paired differences; rates by Newcombe's method from both intervals and their correlation.
    """
    a, b = one.draws.astype(np.float64), two.draws.astype(np.float64)
    beyond = np.isinf(a) | np.isinf(b)  # a median that this resample does not reach
    with np.errstate(invalid="ignore"):
        drawn = np.where(beyond, np.nan, b - a)
        value = two.values - one.values
    low, high = percentiles(drawn)
    low, high = np.fmin(low, value), np.fmax(high, value)
    none = (beyond.mean(axis=1) > TAIL) | (np.minimum(one.samples, two.samples) < 2)
    low, high = np.where(none, np.nan, low), np.where(none, np.nan, high)
    rate = ~np.isnan(one.rows) & ~np.isnan(two.rows)
    if rate.any():
        (p_low, p_high), (q_low, q_high) = one.bounds(), two.bounds()
        low[rate], high[rate] = difference_interval(
            (one.values[rate], p_low[rate], p_high[rate]), (two.values[rate], q_low[rate], q_high[rate]),
            _correlation(a[rate], b[rate]),
        )  # fmt: skip
    return low, high


def _correlation(a: Floats, b: Floats) -> Floats:
    """Row by row; 0 where one of them does not move."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(scale > 0, (a * b).sum(axis=1) / np.where(scale > 0, scale, 1), 0.0)


def _profile(first: RunRecord, second: RunRecord, families: dict[str, str]) -> Iterator[Difference]:
    """The families' figures; `perturbation` is the family."""
    one, two = (
        profile_figures(run.samples, families, seed=run.record.settings.seed, primary=run.record.settings.primary)
        for run in (first, second)
    )
    if one is not None and two is not None:
        yield from _differences(iter([one]), iter([two]))


def _table(comparison: Comparison, first: str, second: str) -> DifferenceTable:
    primary = comparison.first.record.settings.primary
    shown = [
        one
        for one in comparison.differences
        if one.quantity in SHOWN
        and one.subset == "all"
        and (one.representation is None or f"{one.representation}.{one.distance}" == primary)
    ]
    ordered = sorted(shown, key=lambda one: -abs(one.difference) if one.quantity != "critical_severity" else 0)
    rows = tuple(_row(one) for one in [*comparison.profile, *ordered[:MOST]] if one.quantity in SHOWN)
    rest = f"; the {MOST} largest of {len(ordered)} figures below the families" if len(ordered) > MOST else ""
    return DifferenceTable(
        title=f"{second} minus {first}", first=first, second=second, left_out=", ".join(comparison.left_out), rows=rows,
        caption=f"{second} minus {first}, {comparison.first.record.data.images} images{rest}",
    )  # fmt: skip


def _row(one: Difference) -> DifferenceRow:
    name = one.perturbation or "untouched"
    severity = "" if one.severity is None else f" {plain(one.severity)}"
    worst = ", worst case" if one.draws == "worst" else ""
    places = decimals(one.difference, one.low, one.high)
    interval, sign = "", ""
    if one.low is not None and one.high is not None:
        interval = f" [{one.low:+.{places}f}, {one.high:+.{places}f}]"
        sign = "plus" if one.low > 0 else "minus" if one.high < 0 else ""
    return DifferenceRow(
        key=f"{name}|{severity.strip()}|{one.draws}|{one.quantity}",
        what=f"{FAMILIES.get(name, words(name))}{severity}{worst}", quantity=QUANTITIES.get(one.quantity, one.quantity),
        first=number(one.first), second=number(one.second), sign=sign, mean=one.difference,
        difference=f"{one.difference:+.{places}f}{interval}",
    )  # fmt: skip
