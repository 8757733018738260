"""How much better a model does on one group than on another: per group, the worst, and the gap with its interval."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from statistics import NormalDist

import polars as pl

from semcon.core.figures import RATES, Figures
from semcon.core.intervals import Z
from semcon.core.profile import profile_of
from semcon.core.quantities import LEAST_OF_GROUP, OF_GROUPS
from semcon.core.summary import Summary
from semcon.core.table import SampleTable

EXPECTED = 5  # images of a class that chance gives a group; that it gives none has then a chance of e^-5, 0.007
BETTER_HIGH = ("accuracy",)
PRIMARY = "logits.l2"
Told = tuple[float, float, float]
"""Mean, low, high."""


@dataclass(frozen=True)
class Group:
    """One group: its images, and each quantity as (mean, low, high); a quantity that is not known is missing.

    `intersection`: whether `attribute` is several together, `sex and age`.
    """

    attribute: str
    value: str
    images: int
    figures: Mapping[str, Told]
    intersection: bool = False

    @property
    def name(self) -> str:
        """`colour=red`."""
        return f"{self.attribute}={self.value}"

    @property
    def judged(self) -> bool:
        """Whether it has images enough."""
        return self.images >= LEAST_OF_GROUP


@dataclass(frozen=True)
class Gap:
    """Between the `best` and the `worst` group of an attribute that are judged, with its interval.

    `sure`: the largest between two groups of the attribute that chance cannot explain; often this one.
    """

    attribute: str
    quantity: str
    best: Group
    worst: Group
    value: float
    low: float
    high: float
    sure: Gap | None = None


def with_groups(table: SampleTable, attributes: Mapping[str, Sequence[str]]) -> SampleTable:
    """The table with each image's attributes, as JSON in the column `groups`; attributes by position."""
    groups = [
        json.dumps({name: values[position] for name, values in attributes.items()})
        for position in table.images["position"].to_list()
    ]
    images = table.images.with_columns(pl.Series("groups", groups, dtype=pl.String))
    return SampleTable(images, table.rows, table.gauges)


@dataclass(frozen=True)
class Split:
    """The images by one attribute, or by several together: `values` as they are told, of every image."""

    name: str
    values: Sequence[str]
    intersection: bool

    @property
    def groups(self) -> list[str]:
        """`colour=red`, ..."""
        return [f"{self.name}={value}" for value in sorted(set(self.values))]


def split_by(attributes: Mapping[str, Sequence[str]]) -> list[Split]:
    """Every attribute, every two together, and all of them."""
    found = [Split(name, values, intersection=False) for name, values in attributes.items()]
    for names in dict.fromkeys((*combinations(attributes, 2), tuple(attributes))):
        if len(names) > 1:
            together = [
                ", ".join(map(_quoted, each)) for each in zip(*(attributes[name] for name in names), strict=True)
            ]
            found.append(Split(" and ".join(names), together, intersection=True))
    return found


def _quoted(value: str) -> str:
    """As it is, or so that values told together stay apart."""
    return '"' + value.replace('"', '""') + '"' if ", " in value or '"' in value else value


def groups_of(table: SampleTable, seed: int = 0) -> list[Group]:
    """Every group of every attribute, and of all attributes together where there are several.

    Accuracy is that of the untouched images; flips and relative change are means over all perturbations.
    """
    named = [(split, value) for split in split_by(attributes_of(table)) for value in sorted(set(split.values))]
    if not named:
        return []
    positions = table.images["position"].to_numpy()
    subsets = {str(place): positions[[own == value for own in one.values]] for place, (one, value) in enumerate(named)}
    summary = Summary(table, seed, only=(PRIMARY,), subsets=subsets)
    figures = _figures(summary)
    found: list[Group] = []
    for (split, value), (subset, index) in zip(named, summary.places.items(), strict=True):
        images = summary.images.distinct(index)
        found.append(Group(split.name, value, images, figures[subset] if images > 1 else {}, split.intersection))
    return found


def _figures(summary: Summary) -> dict[str, dict[str, Told]]:
    """By subset each quantity that is known."""
    cells: dict[str, list[Figures]] = {subset: [] for subset in summary.places}
    for figures in chain.from_iterable(map(summary.cells, summary.names)):
        told = figures.take([row for row, key in enumerate(figures.keys) if key.quantity in OF_GROUPS[1:]])
        cells[told.keys[0].subset].append(told)
    families = dict.fromkeys(summary.names, "all")
    parts = [profile_of(own, families, PRIMARY, subset) for subset, own in cells.items()]
    parts += [summary.clean_accuracy()] if summary.images.labelled else []
    found: dict[str, dict[str, Told]] = {subset: {} for subset in cells}
    for figures in (part for part in parts if part is not None):
        for key, mean, low, high in zip(figures.keys, figures.values.tolist(), *_ends(figures), strict=True):
            if math.isfinite(mean) and math.isfinite(low) and math.isfinite(high):
                found[key.subset][key.quantity] = mean, low, high
    return found


def _ends(figures: Figures) -> tuple[list[float], list[float]]:
    low, high = figures.bounds()
    return low.tolist(), high.tolist()


def attributes_of(table: SampleTable) -> dict[str, list[str]]:
    """By name the value of every image, in the table's order."""
    rows = [json.loads(text) for text in table.images["groups"].to_list()]
    return {name: [str(row[name]) for row in rows] for name in (rows[0] if rows else ())}


def missing_classes(table: SampleTable) -> dict[str, list[int]]:
    """By group (`domain=sketch`) the labels that no image of it has though chance would have given it 5 or more."""
    labels = table.images["label"].to_list()
    counts = Counter(label for label in labels if label is not None)
    shares = {label: count / len(labels) for label, count in sorted(counts.items())}
    found: dict[str, list[int]] = {}
    for name, values in attributes_of(table).items():
        for value in sorted(set(values)):
            own = [label for label, theirs in zip(labels, values, strict=True) if theirs == value]
            without = [label for label, share in shares.items() if share * len(own) >= EXPECTED and label not in own]
            if without and len(own) >= LEAST_OF_GROUP:
                found[f"{name}={value}"] = without
    return found


def gaps(groups: Sequence[Group]) -> Iterator[Gap]:
    """Of every attribute with two judged groups or more, each quantity's largest gap.

    The pair is the one that the figures themselves chose, so the interval is Bonferroni's over all pairs of groups;
    built from the two groups' own intervals (Newcombe 1998, method 10, for independent proportions), and of rates cut
    at -1 and 1.
    """
    for attribute in dict.fromkeys(group.attribute for group in groups):
        for quantity in OF_GROUPS:
            own = [group for group in groups if group.attribute == attribute and group.judged]
            own = [group for group in own if quantity in group.figures]
            if len(own) < 2:
                continue
            ordered = sorted(own, key=lambda group: group.figures[quantity][0], reverse=quantity in BETTER_HIGH)
            pairs = [_between(quantity, better, worse, len(own)) for better, worse in combinations(ordered, 2)]
            largest = next(gap for gap in pairs if gap.best is ordered[0] and gap.worst is ordered[-1])
            sure = max((gap for gap in pairs if gap.low > 0), key=lambda gap: gap.value, default=None)
            yield replace(largest, sure=sure)


def _between(quantity: str, best: Group, worst: Group, groups: int) -> Gap:
    """One of the pairs that so many groups make."""
    upper, lower = (best, worst) if quantity in BETTER_HIGH else (worst, best)
    (p, p_low, p_high), (q, q_low, q_high) = upper.figures[quantity], lower.figures[quantity]
    widen = NormalDist().inv_cdf(1 - 0.025 / math.comb(groups, 2)) / Z
    down, up = math.hypot(p - p_low, q_high - q), math.hypot(p_high - p, q - q_low)
    low, high = p - q - widen * down, p - q + widen * up
    if quantity in RATES:
        low, high = max(-1.0, low), min(1.0, high)
    return Gap(best.attribute, quantity, best, worst, p - q, low, high)
