"""Group gap: is the model worse on some groups of images than on others?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from semcon.core.errors import SemconError
from semcon.core.measured import Measured
from semcon.core.quantities import LEAST_OF_GROUP, OF_GROUPS
from semcon.core.record import Estimate, Finding
from semcon.core.registry import load
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Looked, Setting, TrialEvaluation
from semcon.grouping.attributes import Attributes
from semcon.grouping.gaps import BETTER_HIGH, Gap, Group, gaps, groups_of, missing_classes, split_by, with_groups
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

    `attributes`: the groups of every image; `classes`: the names of the labels. Flips and relative change are under a
    few mild perturbations. Groups of fewer than 30 images are shown and not judged.
    """

    question: ClassVar[str] = "Is the model worse on some groups of images than on others?"

    attributes: Attributes = field(default_factory=dict[str, tuple[str, ...]], repr=False)
    classes: tuple[str, ...] | None = field(default=None, repr=False)

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
        return cls(plan, attributes=setting.attributes, classes=setting.classes)

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> Looked:
        """Two passes; every part with its groups."""

        def kept(part: SampleTable) -> None:
            keep(with_groups(part, self.attributes))

        return super().run(subject, index, read, skip=skip, keep=kept, progress=progress)

    def settings(self) -> dict[str, Any]:
        """The attributes by their values, and who has which by a hash."""
        found = {name: value for name, value in super().settings().items() if name not in ("attributes", "classes")}
        digest = hashlib.blake2b(json.dumps(self.attributes, sort_keys=True).encode(), digest_size=8).hexdigest()
        values = {name: sorted(set(own)) for name, own in self.attributes.items()}
        return found | {"attributes": json.dumps(values, sort_keys=True), "groups": digest}

    def measured(self) -> Measured:
        """With every group, and the attributes that have gaps."""
        splits = split_by(self.attributes)
        return replace(
            super().measured(), groups=[group for one in splits for group in one.groups],
            attributes=[one.name for one in splits],
        )  # fmt: skip

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """Every group, the worst, and the gaps."""
        groups = groups_of(table, self.plan.seed)
        told = [name for name in OF_GROUPS if name != "accuracy" or table.labelled]
        found = list(gaps(groups))
        attributes = dict.fromkeys(group.attribute for group in groups)
        by_attribute = {gap.attribute: _sentence(gap) for gap in found if gap.quantity == told[0]}
        verdict = [by_attribute.get(name) or _no_gap([one for one in groups if one.attribute == name])
                   for name in attributes]  # fmt: skip
        return Conclusion(
            verdict=tuple(verdict), findings=(*_small(groups), *_lacking(table, self._names(subject))),
            estimates=(*_of_groups(groups, told), *_of_gaps(groups, found, told)),
        )  # fmt: skip

    def _names(self, subject: Subject) -> Sequence[str] | None:
        """Of the outputs: the data's where classes go by their order, else the model's."""
        by_order = self.classes is not None and not set(self.classes) <= set(subject.classes or ())
        return self.classes if by_order else subject.classes


def _sentence(gap: Gap) -> str:
    """The worst group and the best, and what lies between."""

    def told(group: Group) -> str:
        mean, low, high = group.figures[gap.quantity]
        return f"{group.value} ({number(mean)} {interval(low, high, mean)}, {group.images} images)"

    what = "accuracy" if gap.quantity in BETTER_HIGH else "the share of changed predictions"
    size = f"a gap of {number(gap.value)} {interval(gap.low, gap.high, gap.value)}"
    if gap.value == 0:
        same = number(gap.best.figures[gap.quantity][0])
        return f"By {words(gap.attribute)}, {what} is {same} in every group of {LEAST_OF_GROUP} images or more: {size}."
    sure = "" if gap.low > 0 else "; chance could explain it"
    if gap.sure is not None and gap.low <= 0:
        least = f"{number(gap.sure.value)} {interval(gap.sure.low, gap.sure.high, gap.sure.value)}"
        sure += f", but not that of {least} between {told(gap.sure.best)} and {told(gap.sure.worst)}"
    return (
        f"By {words(gap.attribute)}, {what} is worst for {told(gap.worst)} and best for {told(gap.best)}: {size}{sure}."
    )


def _no_gap(own: list[Group]) -> str:
    """Why an attribute has none."""
    judged = [group.value for group in own if group.judged]
    if len(own) == 1:
        why = f"every image is in one group, {own[0].value}: there is nothing to compare it with"
    elif judged:
        why = f"of {len(own)} groups only {judged[0]} has {LEAST_OF_GROUP} images or more: no gap is told"
    else:
        why = f"none of {len(own)} groups has {LEAST_OF_GROUP} images or more: no gap is told"
    return f"By {words(own[0].attribute)}, {why}."


def _small(groups: list[Group]) -> Iterator[Finding]:
    small = [group for group in groups if not group.judged]
    if small:
        named = ", ".join(f"{group.name} ({group.images})" for group in small[:5])
        yield Finding(
            code="group-too-small", severity="note",
            message=f"groups of fewer than {LEAST_OF_GROUP} images are not judged: {named}"
            + (f" and {len(small) - 5} more" if len(small) > 5 else ""),
            remedy="more images of them, or wider groups",
        )  # fmt: skip


def _lacking(table: SampleTable, classes: Sequence[str] | None) -> Iterator[Finding]:
    """Judged groups without a class that chance would have given them."""
    missing = missing_classes(table) if table.labelled else {}
    if not missing:
        return
    told = [
        f"{name} has none of {', '.join(str(one) if classes is None else classes[one] for one in own[:5])}"
        + (f" and {len(own) - 5} more" if len(own) > 5 else "")
        for name, own in missing.items()
    ]
    yield Finding(
        code="group-lacks-classes", severity="note",
        message=f"some groups lack classes, so that accuracies of groups are over unlike classes: {'; '.join(told[:5])}"
        + (f"; and {len(told) - 5} groups more" if len(told) > 5 else ""),
        remedy="compare groups on the classes that all of them have",
    )  # fmt: skip


def _of_groups(groups: list[Group], told: Sequence[str]) -> Iterator[Estimate]:
    for group in groups:
        for quantity in told:
            if quantity != "accuracy" or group.intersection:  # else the table's own figure
                yield _estimate(quantity, f"group:{group.name}", group.figures.get(quantity), group.images,
                                "fewer than two different images, or nothing to measure them by")  # fmt: skip


def _of_gaps(groups: list[Group], found: list[Gap], told: Sequence[str]) -> Iterator[Estimate]:
    """Of every attribute, unknown where it has no two judged groups."""
    known = {(gap.attribute, gap.quantity): gap for gap in found}
    for attribute in dict.fromkeys(group.attribute for group in groups):
        for quantity in told:
            gap = known.get((attribute, quantity))
            figures = None if gap is None else (gap.value, gap.low, gap.high)
            images = 0 if gap is None else gap.best.images + gap.worst.images
            yield _estimate(f"{quantity}_gap", f"groups:{attribute}", figures, images,
                            f"fewer than two groups of {LEAST_OF_GROUP} images or more")  # fmt: skip


def _estimate(
    quantity: str, subset: str, figures: tuple[float, float, float] | None, images: int, why: str
) -> Estimate:  # fmt: skip
    """`why`: the reason where `figures` are unknown."""
    gauge = ("logits", "l2") if quantity == "relative_change" else (None, None)
    mean, low, high = figures or (None, None, None)
    return Estimate(
        perturbation=None, severity=None, draws="random", representation=gauge[0], distance=gauge[1], quantity=quantity,
        subset=subset, statistic="mean", mean=mean, low=low, high=high, samples=images,
        reason=why if figures is None else None,
    )  # fmt: skip
