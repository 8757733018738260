"""Rows to estimates: every figure of an audit with its 95 % interval, made from rows and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from semcon.core.cells import OF_PATHS, PIXELS, Cells, RowIndex, read_cells
from semcon.core.collecting import Collector, Use
from semcon.core.explained import OF_COPIES, OF_MAPS, explained, split
from semcon.core.figures import RATES, Figures, Key, Statistic
from semcon.core.flicker import flicker
from semcon.core.images import Images
from semcon.core.intervals import finite
from semcon.core.medians import critical_severities, image_medians, lipschitz_constants
from semcon.core.nearness import ReferenceTerms, reference_terms
from semcon.core.record import Estimate, GaugeInfo
from semcon.core.table import SampleTable
from semcon.core.yardsticks import Yardstick, Yardsticks

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MANY_CLASSES = 20  # from here on, classes only at each perturbation's highest severity, random draws


def summarise(
    table: SampleTable, *, seed: int = 0, primary: str = "logits.l2", class_names: Sequence[str] | None = None
) -> list[Estimate]:
    """Every estimate of a table, in its order of perturbations; keys unique, unknown is null with a reason.

    `primary`: the gauge that the subset "correct" and the classes are given for. `class_names`: of the outputs.
    """
    summary = Summary(table, seed, primary, class_names)
    return [estimate for figures in summary.figures() for estimate in to_estimates(figures)]


def to_estimates(figures: Figures) -> list[Estimate]:
    """Figures as plain data: NaN and infinity become null with a reason."""
    low, high = figures.bounds()
    return [
        Estimate(
            **key._asdict(), mean=finite(figures.values[row]), low=finite(low[row]), high=finite(high[row]),
            samples=int(figures.samples[row]), censored=finite(figures.censored[row]), reason=figures.reason(row),
        )
        for row, key in enumerate(figures.keys)
    ]  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """The figures of one table, resampled. `only`: no other gauges than these; `subsets`: all, or only "all", or these

    in their place, the positions of images by name. `shared`: count the noise of the references (see `Yardsticks`).
    """

    table: SampleTable
    seed: int = 0
    primary: str = "logits.l2"
    class_names: Sequence[str] | None = None
    only: tuple[str, ...] | None = None
    subsets: Literal["all", "every"] | Mapping[str, Integers] = "every"
    shared: bool = True

    def figures(self) -> Iterator[Figures]:
        """Untouched images first, then perturbation after perturbation; never more than one of them in memory."""
        if not len(self.images):
            return
        yield from self.untouched()
        for name in self.names:
            yield from self.under(name)

    def untouched(self) -> Iterator[Figures]:
        """What is told of the images themselves: accuracy, the gradient's norm, the curvature, their explanations."""
        if self.images.labelled:
            yield self.clean_accuracy()
        yield from image_medians(self.images, self.places)
        yield from self._of_maps()

    def under(self, perturbation: str) -> Iterator[Figures]:
        """The figures of one perturbation, its critical severity and its steepest slopes first."""
        rows = self._rows.of_name(perturbation)
        yield from critical_severities(self.table, rows, self.images, self.places, perturbation)
        yield from lipschitz_constants(self.table, rows, self.images, self.places, perturbation)
        yield from flicker(self.table, rows, self.images, perturbation)
        yield from self.cells(perturbation)

    def cells(self, perturbation: str) -> Iterator[Figures]:
        """The figures of one perturbation's severities."""
        cells = read_cells(self.table, self._rows.of_name(perturbation), self.images, perturbation)
        if cells is None:
            return
        yield from self._of_subsets(cells)
        if self._every:
            yield from self._of_classes(cells)

    def decisions(self, perturbation: str) -> Cells | None:
        """Flips, confidence drops and accuracy of each image, by cell; None where nothing but a scan was made."""
        return read_cells(self.table, self._rows.of_name(perturbation), self.images, perturbation)

    @property
    def names(self) -> list[str]:
        """The perturbations in the table's order."""
        return self._rows.names

    @cached_property
    def _rows(self) -> RowIndex:
        return RowIndex.of(self.table)

    @cached_property
    def images(self) -> Images:
        """The images with their weights."""
        return Images.of(self.table, seed=self.seed, names=self.class_names)

    @property
    def gauges(self) -> tuple[GaugeInfo, ...]:
        """The gauges that figures are given for."""
        return tuple(gauge for gauge in self.table.gauges if self.only is None or gauge.name in self.only)

    @property
    def _every(self) -> bool:
        return self.subsets == "every"

    @cached_property
    def places(self) -> dict[str, Integers]:
        """Where the images of each subset stand in `images`."""
        if not isinstance(self.subsets, str):
            return {name: np.sort(self.images.rows(positions)) for name, positions in self.subsets.items()}
        places = {"all": np.arange(len(self.images))}
        if self._every:
            places |= {"correct": self.images.correct} if self.images.labelled else {}
            places |= {f"group:{name}": index for name, index in self.images.groups.items()}
        return places

    @cached_property
    def _yardsticks(self) -> dict[str, Yardsticks]:
        return {gauge.name: Yardsticks(self.images, gauge.name, self.shared) for gauge in self.gauges}

    @cached_property
    def _sticks(self) -> dict[tuple[str, str, str], Yardstick]:
        return {}

    def stick(self, gauge: str, kind: Literal["spread", "within"], subset: str, index: Integers) -> Yardstick:
        """A yardstick of a subset, worked out once for all perturbations."""
        key = gauge, kind, subset
        if key not in self._sticks:
            self._sticks[key] = getattr(self._yardsticks[gauge], kind)(index)
        return self._sticks[key]

    def withins(self, gauge: str) -> Floats:
        """Each image's mean distance to its class: (N,)."""
        return self._yardsticks[gauge].withins

    def has_stick(self, gauge: str, kind: Literal["spread", "within"]) -> npt.NDArray[np.bool_]:
        """Which images have this yardstick: (N,)."""
        sticks = self._yardsticks[gauge]
        return np.isfinite(sticks.spreads if kind == "spread" else sticks.withins)

    def clean_accuracy(self) -> Figures:
        """Of the untouched images that have labels, by subset and class."""
        groups = {name: index for name, index in self.places.items() if name != "correct"}
        groups |= {f"class:{name}": index for name, index in self.images.classes.items()} if self._every else {}
        right = (self.images.labels == self.images.predictions).astype(np.float32)
        parts: list[Figures] = []
        for name, index in groups.items():
            index = index[self.images.labels[index] >= 0]
            collector = Collector(self.images, index)
            key = Key(None, None, "random", None, None, "accuracy", name, "mean")
            collector.add(right[None, index], [Use([key], rows=np.ones(1))])
            parts.append(collector.figures())
        return Figures.concat(parts)

    def _of_maps(self) -> Iterator[Figures]:
        """The mean of what was measured of every image's maps, method by method."""
        columns = explained(self.images.frame.columns, OF_MAPS)
        values = [self.images.column(column).astype(np.float32) for column in columns]
        for subset, index in self.places.items() if columns else ():
            collector = Collector(self.images, index)
            for column, own in zip(columns, values, strict=True):
                method, quantity = split(column)
                key = Key(None, None, "random", method, None, quantity, subset, "mean")
                collector.add(own[None, index], [Use([key], rows=np.ones(1) if quantity in RATES else None)])
            yield collector.figures()

    def _of_subsets(self, cells: Cells) -> Iterator[Figures]:
        collectors = [_CellCollector(self, cells, subset, index, slice(None)) for subset, index in self.places.items()]
        for collector in collectors:
            for quantity in ("flip", "accuracy", "confidence_drop"):
                collector.plain(None, quantity)
            collector.paths()
            collector.maps()
        for gauge in self.gauges:
            cells.read(gauge.name)
            for collector in collectors:
                if collector.subset == "all" or gauge.name == self.primary:
                    collector.changes(gauge, plain=True)
                    collector.plain(gauge, "any_nearer_20")
                    collector.lipschitz(gauge)
                collector.plain(gauge, "discontinuity")
            if gauge.name != self.primary:
                cells.forget(gauge.name)
        yield from (collector.figures() for collector in collectors)

    def _of_classes(self, cells: Cells) -> Iterator[Figures]:
        many = len(self.images.classes) > MANY_CLASSES
        random = [row for row, (_, draws) in enumerate(cells.cells) if draws == "random"]
        chosen = slice(random[-1], random[-1] + 1) if many and random else slice(None)
        for name, index in self.images.classes.items():
            collector = _CellCollector(self, cells, f"class:{name}", index, chosen)
            collector.plain(None, "flip")
            collector.plain(None, "accuracy")
            for gauge in self.gauges:
                if gauge.name == self.primary:
                    collector.changes(gauge, plain=False)
            yield collector.figures()


class _CellCollector(Collector):
    """Figures of one subset under one perturbation; `chosen`: which of its cells."""

    def __init__(self, summary: Summary, cells: Cells, subset: str, index: Integers, chosen: slice) -> None:
        super().__init__(summary.images, index)
        self.summary, self.cells, self.subset, self.chosen = summary, cells, subset, chosen
        self._nearness: dict[str, ReferenceTerms] = {}

    def plain(self, gauge: GaugeInfo | None, quantity: str) -> None:
        """The mean of a quantity."""
        values = self._values(gauge, quantity)
        if values is not None:
            terms = None if gauge is None or not self.summary.shared else self._terms(gauge, quantity)
            self.add(values, [Use(self._keys(gauge, quantity, "mean"), rows=self._rows(quantity), terms=terms)])

    def paths(self) -> None:
        """Straightness and curvature of what was watched along a path."""
        for column in OF_PATHS:
            values = self._values(None, column)
            if values is not None:
                name, _, quantity = column.partition(".")
                keys = [key._replace(representation=name, distance="l2") for key in self._keys(None, quantity, "mean")]
                self.add(values, [Use(keys)])

    def maps(self) -> None:
        """How the explanations of a copy compare with those of its image."""
        for column in explained((name for _, name in self.cells.values), OF_COPIES):
            values = self._values(None, column)
            if values is not None:
                method, quantity = split(column)
                keys = [key._replace(representation=method) for key in self._keys(None, quantity, "mean")]
                self.add(values, [Use(keys, rows=self._rows(quantity))])

    def changes(self, gauge: GaugeInfo, *, plain: bool) -> None:
        """Both relative changes, and the `plain` one; images without a yardstick drop out of both sums."""
        values = self._values(gauge, "change")
        if values is None:
            return
        uses = [Use(self._keys(gauge, "change", "mean"))] if plain else []
        kinds: list[Literal["spread", "within"]] = ["spread", "within"] if self.images.labelled else ["spread"]
        for kind in kinds:
            quantity = "relative_change" if kind == "spread" else "within_class_change"
            stick = self.summary.stick(gauge.name, kind, self.subset, self.index)
            use = Use(self._keys(gauge, quantity, "ratio"), stick)
            known = self.summary.has_stick(gauge.name, kind)[self.index]
            if known.all():
                uses.append(use)
            else:
                self.add(np.where(known, values, np.float32(np.nan)), [use])
        self.add(values, uses)

    def lipschitz(self, gauge: GaugeInfo) -> None:
        """The change over the pixel change, over the spread."""
        values = self._values(gauge, "lipschitz")
        if values is not None and gauge.name != PIXELS:
            stick = self.summary.stick(gauge.name, "spread", self.subset, self.index)
            self.add(values, [Use(self._keys(gauge, "local_lipschitz", "mean"), stick)])

    def _values(self, gauge: GaugeInfo | None, quantity: str) -> npt.NDArray[np.float32] | None:
        values = self.cells.values.get((None if gauge is None else gauge.name, quantity))
        if values is None:
            return None
        return values[self.chosen] if len(self.index) == values.shape[1] else values[self.chosen][:, self.index]

    def _keys(self, gauge: GaugeInfo | None, quantity: str, statistic: Statistic) -> list[Key]:
        representation, distance = (None, None) if gauge is None else (gauge.representation, gauge.distance)
        return [
            Key(self.cells.perturbation, severity, draws, representation, distance, quantity, self.subset, statistic)
            for severity, draws in self.cells.cells[self.chosen]
        ]

    def _terms(self, gauge: GaugeInfo, quantity: str) -> Floats | None:
        """The references' part in a share of nearer images, worked out once for both quantities."""
        change, share = self._values(gauge, "change"), self._values(gauge, "discontinuity")
        if change is None or share is None:
            return None
        if gauge.name not in self._nearness:
            within = self.summary.withins(gauge.name)
            self._nearness[gauge.name] = reference_terms(
                self.images, within, self.index, change.astype(np.float64), share.astype(np.float64)
            )
        terms = self._nearness[gauge.name]
        return terms.share if quantity == "discontinuity" else terms.chance

    def _rows(self, quantity: str) -> Floats | None:
        """Observations per image behind a rate: its draws; no limit where each is a share itself."""
        if quantity not in RATES:
            return None
        draws = np.array(self.cells.draws[self.chosen], np.float64)
        return np.full_like(draws, np.inf) if quantity in ("discontinuity", "any_nearer_20") else draws
