"""Group gap: is the model worse on some groups of images than on others?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from semcon.core.errors import SemconError
from semcon.core.record import Estimate, Finding
from semcon.core.registry import load
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Looked, Setting, TrialEvaluation
from semcon.grouping.attributes import Attributes
from semcon.grouping.gaps import BETTER_HIGH, LEAST, Gap, Group, gaps, groups_of, with_groups
from semcon.loading import Batch
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.references import Index
from semcon.measuring.two_passes import Keeper, Reader
from semcon.progress import Progress
from semcon.report.numbers import interval, number, words
from semcon.subject import Subject

TRIED = ("brightness", "hue", "gaussian_noise", "gaussian_blur", "translation")
RUNG = 2  # of their ladders


@dataclass(frozen=True)
class GroupGap(TrialEvaluation):
    """Accuracy, flips and relative change of every group and intersection; the worst group, and the gap to the best.

    `attributes`: the groups of every image. Flips and relative change are under a few mild perturbations. Groups of
    fewer than 30 images are shown and not judged.
    """

    question: ClassVar[str] = "Is the model worse on some groups of images than on others?"

    attributes: Attributes = field(default_factory=dict[str, tuple[str, ...]], repr=False)

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Fast: one draw; standard and full: three."""
        if not setting.attributes:
            raise SemconError(
                "the evaluation group_gap needs groups: --groups FILE.csv (the image, then its attributes), or names "
                "of the data's own attributes or columns"
            )
        trials: list[Trial] = []
        for name in TRIED:
            one = load("perturbations", name)()
            severity = min(float(one.ladder[RUNG]), setting.limits.get(name, float("inf")))
            if severity > 0:
                trials.append(Trial(name, one, (severity,)))
        draws = 1 if setting.budget == "fast" else 3
        plan = Plan(tuple(trials), (), draws=draws, seed=setting.seed, gradient_norm=False)
        return cls(plan, attributes=setting.attributes)

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> Looked:
        """Two passes; every part with its groups."""

        def kept(part: SampleTable) -> None:
            keep(with_groups(part, self.attributes))

        return super().run(subject, index, read, skip=skip, keep=kept, progress=progress)

    def settings(self) -> dict[str, Any]:
        """The attributes by their values, and who has which by a hash."""
        found = {name: value for name, value in super().settings().items() if name != "attributes"}
        digest = hashlib.blake2b(json.dumps(self.attributes, sort_keys=True).encode(), digest_size=8).hexdigest()
        values = {name: sorted(set(own)) for name, own in self.attributes.items()}
        return found | {"attributes": json.dumps(values, sort_keys=True), "groups": digest}

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """Every group, the worst, and the gaps."""
        groups = groups_of(table, self.plan.seed)
        found, told = list(gaps(groups)), "accuracy" if table.labelled else "flip"
        return Conclusion(
            verdict=tuple(_sentence(gap) for gap in found if gap.quantity == told),
            findings=tuple(_small(groups)), estimates=tuple(_estimates(groups, found)),
        )  # fmt: skip


def _sentence(gap: Gap) -> str:
    """The worst group and the best, and what lies between."""

    def told(group: Group) -> str:
        mean, low, high = group.figures[gap.quantity]
        return f"{group.value} ({number(mean)} {interval(low, high, mean)}, {group.images} images)"

    what = "accuracy" if gap.quantity in BETTER_HIGH else "the share of changed predictions"
    sure = "" if gap.low > 0 else "; chance could explain it"
    return (
        f"By {words(gap.attribute)}, {what} is worst for {told(gap.worst)} and best for {told(gap.best)}: a gap of "
        f"{number(gap.value)} {interval(gap.low, gap.high, gap.value)}{sure}."
    )


def _small(groups: list[Group]) -> Iterator[Finding]:
    small = [group for group in groups if not group.judged and not group.intersection]
    if small:
        named = ", ".join(f"{group.name} ({group.images})" for group in small[:5])
        yield Finding(
            code="group-too-small", severity="note",
            message=f"groups of fewer than {LEAST} images are not judged: {named}"
            + (f" and {len(small) - 5} more" if len(small) > 5 else ""),
            remedy="more images of them, or wider groups",
        )  # fmt: skip


def _estimates(groups: list[Group], found: list[Gap]) -> Iterator[Estimate]:
    for group in groups:
        for quantity, figures in group.figures.items():
            if quantity == "accuracy" and not group.intersection:
                continue  # the table's own figure
            yield _estimate(quantity, f"group:{group.name}", figures, group.images)
    for gap in found:
        images = gap.best.images + gap.worst.images
        yield _estimate(f"{gap.quantity}_gap", f"groups:{gap.attribute}", (gap.value, gap.low, gap.high), images)
    for quantity in dict.fromkeys(gap.quantity for gap in found):
        widest = max((gap for gap in found if gap.quantity == quantity), key=lambda gap: gap.value)
        images = widest.best.images + widest.worst.images
        yield _estimate(f"{quantity}_gap", "all", (widest.value, widest.low, widest.high), images)


def _estimate(quantity: str, subset: str, figures: tuple[float, float, float], images: int) -> Estimate:
    gauge = ("logits", "l2") if quantity == "relative_change" else (None, None)
    return Estimate(
        perturbation=None, severity=None, draws="random", representation=gauge[0], distance=gauge[1], quantity=quantity,
        subset=subset, statistic="mean", mean=figures[0], low=figures[1], high=figures[2], samples=images,
    )  # fmt: skip
