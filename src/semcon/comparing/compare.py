"""Runs side by side: paired differences on the same images and draws, and a refusal of what is not comparable.

A side is a run, or several runs of one training with different seeds. The first side is what the others are compared
with. Every difference has an interval over images, and over training seeds where a side has several; every row that
counts decisions has an exact test, adjusted for all rows of the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from semcon.comparing.mending import changed_copies
from semcon.comparing.pairing import Paired, adjusted, paired
from semcon.comparing.sides import Runs, Side, common, gauges, in_pairs, perturbations
from semcon.core.cost import cost_of
from semcon.core.difference import Difference
from semcon.core.errors import SemconError
from semcon.core.figures import Key
from semcon.report.cost import CostTable, cost_table
from semcon.report.differences import DifferenceTable, difference_table
from semcon.report.html import render
from semcon.report.opening import evaluation_opening, opening
from semcon.report.reading import Reading, readings
from semcon.report.text import show
from semcon.run_record import write_page


@dataclass(frozen=True)
class Comparison:
    """Two sides held against each other in one evaluation. `labels`: what reports call them.

    `profile`: differences by family; `overall`: over all perturbations and severities that both measured. `others`: the
    same two sides in the other evaluations that both have. `not_made`: evaluations that only one side has, or that
    differ in a setting.
    """

    first: Side
    second: Side
    labels: tuple[str, str]
    differences: tuple[Difference, ...]
    profile: tuple[Difference, ...]
    overall: tuple[Difference, ...]
    others: tuple[Comparison, ...] = ()
    not_made: tuple[str, ...] = ()

    @property
    def evaluation(self) -> str:
        """Which one."""
        return self.first.first.evaluation

    @property
    def every(self) -> tuple[Comparison, ...]:
        """This one and those in the other evaluations."""
        return self, *self.others

    @property
    def left_out(self) -> tuple[str, ...]:
        """The perturbations and gauges that only one side has; of the first comparison also the evaluations."""
        one, two = ({*perturbations(side.first), *gauges(side.first)} for side in (self.first, self.second))
        return (*sorted(one ^ two), *self.not_made)

    @property
    def opening(self) -> tuple[str, ...]:
        """What came out, in words."""
        at_chance = [
            label
            for label, side in zip(self.labels, (self.first, self.second), strict=True)
            if any("chance" in finding.code for run in side.runs for finding in run.record.findings)
        ]
        if self.evaluation != "continuity":
            return evaluation_opening(self.evaluation, self.differences, self.overall)
        return opening(self.labels, self.differences, self.overall, at_chance)

    def to_json(self) -> dict[str, Any]:
        """The second side minus the first."""
        return {
            "first": self.labels[0],
            "second": self.labels[1],
            "opening": list(self.opening),
            "left_out": list(self.left_out),
            "estimates": [difference.to_json() for difference in self.differences],
            "profile": [difference.to_json() for difference in self.profile],
            "overall": [difference.to_json() for difference in self.overall],
            "evaluation": self.evaluation,
            "others": [one.to_json() for one in self.others],
        }


def compare(first: Runs | Side, second: Runs | Side) -> Comparison:
    """Every figure that both sides have, but the raw change, which has the scale of each model's representation, and
    those of `correct`, which are each side's own images.

    A side is a run, a run folder, or several of either that are seeds of one training: with as many seeds on both
    sides they are paired in their order (in the order of the recorded training seeds, where both know the same).
    Errors: `SemconError` naming the setting that differs.
    """
    return side_by_side([first, second]).comparisons[0]


@dataclass(frozen=True)
class SideBySide:
    """Several sides with their differences from the first, as a page, a terminal table or JSON."""

    sides: tuple[Side, ...]
    comparisons: tuple[Comparison, ...]

    @cached_property
    def reading(self) -> list[Reading]:
        """The sides as the reports read them."""
        return _readings(self.sides)

    @cached_property
    def tables(self) -> list[DifferenceTable]:
        """The differences for people."""
        return [
            difference_table(
                one.labels, [*one.overall, *one.profile], one.differences, opening=one.opening,
                primary=one.first.record.settings.primary, left_out=one.left_out,
                evaluation=one.evaluation if one.evaluation != "continuity" else None, folded=one is not pair,
            )
            for pair in self.comparisons
            for one in pair.every
        ]  # fmt: skip

    @cached_property
    def cost(self) -> CostTable:
        """What each side cost."""
        runs = [[run.record for run in side.runs] for side in self.sides]
        return cost_table([run.label for run in self.reading], runs)

    def show(self) -> None:
        """Print what came out, profiles, the largest differences and the cost."""
        show(Console(), self.reading, self.tables, self.cost)

    def report(self, path: str | Path) -> Path:
        """Write the page; `path`: a folder, or a file ending in .html."""
        target = Path(path)
        target = target if target.suffix in (".html", ".htm") else target / "report.html"
        changed = [
            changed_copies(one.first, one.second, one.labels, one.differences)
            for one in self.comparisons
            if one.evaluation == "continuity"
        ]
        return write_page(render(self.reading, self.tables, cost=self.cost, changed=changed), target)

    def to_json(self) -> dict[str, Any]:
        """The runs as each prints them, the differences from the first side, and the cost."""
        return {
            "schema": 1,
            "opening": [sentence for pair in self.comparisons for one in pair.every for sentence in one.opening],
            "sides": [
                {"name": reading.label, "runs": [run.record.subject.name for run in side.runs], "seeds": side.seeds}
                for side, reading in zip(self.sides, self.reading, strict=True)
            ],
            "runs": [run.to_json() for side in self.sides for run in side.runs],
            "differences": [one.to_json() for one in self.comparisons],
            "cost": [
                {"name": reading.label, "runs": [cost_of(run.record) for run in side.runs]}
                for side, reading in zip(self.sides, self.reading, strict=True)
            ],
        }


def side_by_side(sides: Sequence[Runs | Side]) -> SideBySide:
    """Every side against the first; p values are adjusted over all of them. Errors: `SemconError`, not comparable."""
    own = [Side.of(side) for side in sides]
    if len(own) < 2:
        raise SemconError("a comparison needs at least two sides: semcon compare FIRST SECOND")
    shared = [common(own[0].first, side.first) for side in own[1:]]
    pairs = [in_pairs(own[0], side) for side in own[1:]]
    own = [own[0], *(second for _, second in pairs)]
    labels = [run.label for run in _readings(own)]
    asked = [(pair, name) for pair, both in zip(pairs, shared, strict=True) for name, why in both.items() if not why]
    found = adjusted(list(_paired(asked)))
    made: list[Comparison] = []
    for pair, label, both in zip(pairs, labels[1:], shared, strict=True):
        main, *others = [
            Comparison(
                pair[0].evaluated(name), pair[1].evaluated(name), (labels[0], label),
                one.figures, one.profile, one.overall,
            )
            for (whose, name), one in zip(asked, found, strict=True)
            if whose is pair
        ]  # fmt: skip
        made.append(replace(main, others=tuple(others), not_made=tuple(_not_made(pair, both))))
    return SideBySide(tuple(own), tuple(made))


def _not_made(pair: tuple[Side, Side], common: Mapping[str, str | None]) -> Iterator[str]:
    """The evaluations that are not compared, and why: the runs of a side differ, or the sides do."""
    unlike = {name: f"the runs of one side differ: {why}" for side in pair for name, why in side.unlike.items()}
    for name, why in sorted(({name: why for name, why in common.items() if why} | unlike).items()):
        yield f"the evaluation {name}: {why.partition('. ')[0]}"


def _paired(asked: Sequence[tuple[tuple[Side, Side], str]]) -> Iterator[Paired]:
    """Every pair of sides in every evaluation; what is told of the untouched images once a pair."""
    told: set[Key] = set()
    last: tuple[Side, Side] | None = None
    for pair, name in asked:
        if pair is not last:
            told, last = set(), pair
        one = paired(pair[0].evaluated(name), pair[1].evaluated(name), told)
        told |= {difference.key for difference in one.figures if difference.perturbation is None}
        yield one


def _readings(sides: Sequence[Side]) -> list[Reading]:
    return readings([(side.record, side.folder) for side in sides])
