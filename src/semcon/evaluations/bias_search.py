"""Bias search: told nothing of the data, which property of the image does the prediction follow?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import polars as pl
import torch
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from semcon.class_score import answered
from semcon.core.errors import SemconError
from semcon.core.pictured import ExplainedEntry
from semcon.core.quantities import FOLLOWS
from semcon.core.record import Estimate, Finding, PerturbationRecord
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Evaluation, Pictured, Setting
from semcon.grouping.donors import Followed, Pool, followed
from semcon.grouping.factors import FACTORS, Factor
from semcon.grouping.transplants import transplanted
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.measuring.image_rows import image_frame
from semcon.measuring.references import Index
from semcon.measuring.row_writer import RowWriter
from semcon.measuring.two_passes import Keeper, Reader, keep_often, left_of
from semcon.progress import Progress
from semcon.report.numbers import interval, number
from semcon.subject import Subject

MOST, ROOM = 2400, 2**29  # donors, as far as their pixels take no more than half a gigabyte
FLOOR = 0.05  # how often predictions must follow before a property is named


@dataclass(frozen=True)
class BiasSearch(Evaluation):
    """Every image takes one property (`factors`) from images of its own predicted class and of others.

    `donors`: how many classes each image takes it from. `follows`: how much more often a copy is predicted to be of the
    class that the property came from than where it came from a third one: 0 where predictions do not care whose it
    is, 1 where it alone decides. Classes are the labels; without labels, what is predicted. Images share donors, so
    intervals are clustered by both.
    """

    version: ClassVar[int] = 3

    question: ClassVar[str] = "Told nothing of the data: which property of the image do predictions follow?"

    factors: tuple[str, ...]
    donors: int = 3
    seed: int = 0

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Donors of three classes with the fast budget, four with standard, six with full."""
        chosen = tuple(one.name for one in FACTORS if setting.masks or not one.masked)
        return cls(chosen, {"fast": 3, "standard": 4, "full": 6}[setting.budget], setting.seed)

    @property
    def _factors(self) -> list[Factor]:
        return [one for one in FACTORS if one.name in self.factors]

    def passes(self, subject: Subject) -> float:
        """The image, and every copy."""
        return 1.0 + self.donors * len(self.factors)

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """One for every property."""
        return tuple(
            PerturbationRecord(
                name=one.name, family="property", unit="0 or 1", source="counterfactual copies", kind="binary",
                parameters="unbounded", version=1, severities=(1.0,), draws=self.donors,
            )
            for one in self._factors
        )  # fmt: skip

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> None:
        """Donors first, then every image."""
        pool = self._pool(subject, index, read)
        if len(pool.names) < 2:
            raise SemconError(
                "the bias search needs images of two classes at least, to see what predictions follow from one to the "
                f"other: all are of class {int(pool.names[0])}"
            )
        total = self.passes(subject)

        def work(batch: Batch) -> SampleTable:
            return self._measured(subject, pool, batch, progress)

        parts = (SampleTable.concat(list(fitting(batch, work, progress.say))) for batch in read(left_of(index, skip)))
        with progress.task("bias search", total=total * len(index.ids), done=total * len(skip)):
            keep_often(parts, keep)

    def _pool(self, subject: Subject, index: Index, read: Reader) -> Pool:
        """Different images, as many of each class: those of the smallest keyed hash."""
        rank = Keys(index.ids, self.seed, 0, "bias_search").bits("donor")
        order = rank.argsort(stable=True)
        different = np.unique(index.ids[order].numpy(), return_index=True)[1]
        order = order[torch.from_numpy(np.sort(different))]
        most = max(2, min(MOST, ROOM // (12 * subject.canvas.height * subject.canvas.width)))
        if index.labelled:
            labels, each = index.labels[order], max(2, most // len(index.labels.unique()))
            rows = torch.cat([order[labels == label][:each] for label in labels.unique()])
        else:
            rows = order[:most]
        found = Batch.concat(list(read(sorted(rows.tolist()))))
        classes = found.labels
        if not index.labelled:
            with torch.no_grad():
                parts = [subject(part.x.to(subject.device)).argmax(1).cpu() for part in found.split(64)]
            classes = torch.cat(parts)
        return Pool.of(found, classes)

    @torch.no_grad()
    def _measured(self, subject: Subject, pool: Pool, batch: Batch, progress: Progress) -> SampleTable:
        x = batch.x.to(subject.device)
        masks = None if batch.masks is None else batch.masks.to(x.device)
        confidence, prediction = answered(subject(x))
        progress.advance(len(x))
        rows = RowWriter((), batch, ("donor", "donor_position"))
        chosen = pool.chosen(batch.ids, prediction.cpu(), self.donors, self.seed)
        for slot in range(chosen.shape[1]):
            own = chosen[:, slot]
            donor = pool.images.x[own].to(x.device)
            theirs = None if pool.images.masks is None else pool.images.masks[own].to(x.device)
            whose = torch.stack((pool.classes[own], pool.images.positions[own])).to(donor)
            for factor in self._factors:
                scores = subject(factor.transplant(x, donor, masks, theirs))
                kept = scores.softmax(1).gather(1, prediction[:, None]).squeeze(1)
                values = torch.stack((scores.argmax(1).float(), kept, *whose))
                rows.add(factor.name, 1.0, "random", slot, None, values)
                progress.advance(len(x))
        return SampleTable(image_frame(batch, prediction, confidence, {}), rows.frame(), ())

    def tells(self, estimate: Estimate, table: SampleTable) -> bool:
        """How often copies flip is told beside what they follow."""
        return estimate.subset == "all"

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """The properties in the order in which predictions follow them; those that are named."""
        found = sorted(self._scores(table), key=lambda one: -(one.mean or 0))
        words = {one.name: one.word for one in FACTORS}
        named = [one for one in found if (one.mean or 0) >= FLOOR and (one.low or 0) > 0]
        told = ", ".join(
            f"{words[one.perturbation or '']} {number(one.mean)} {interval(one.low, one.high, one.mean)}"
            for one in found
        )
        first = (
            f"Predictions follow the {words[named[0].perturbation or '']} of an image first"
            if named
            else "Predictions follow none of these properties"
        )
        findings = [
            Finding(
                code=f"bias-{words[one.perturbation or '']}", severity="warning",
                message=f"copies that take nothing but the {words[one.perturbation or '']} of an image of another "
                f"class are predicted to be of that class {100 * (one.mean or 0):.0f} points more often than where it "
                "comes from elsewhere",
                remedy="look at how that property goes with the classes in the training data; train or repair with a "
                "perturbation of it",
            )
            for one in named
        ]  # fmt: skip
        return Conclusion((f"{first} (0: whose it is makes no difference, 1: it alone decides): {told}.",),
                          findings=tuple(findings), estimates=tuple(found),
                          pictures=tuple(self._pictures(subject, probe)))  # fmt: skip

    def _pictures(self, subject: Subject, probe: Batch) -> Iterator[Pictured]:
        for one in transplanted(subject, self._factors, probe, self.seed):
            entry = ExplainedEntry(
                method="taken_from", perturbation=one.factor, severity=1.0, sample=int(probe.ids[one.row]),
                title=probe.titles[one.row], prediction=str(one.before), prediction_copy=str(one.after), alike=None,
                files={},
            )  # fmt: skip
            yield Pictured(entry, {"image": one.image, "donor": one.donor, "copy": one.copy})

    def _scores(self, table: SampleTable) -> Iterator[Estimate]:
        tail = 0.025 / len(self.factors)  # Bonferroni over the properties
        for factor in self._factors:
            rows = table.joined().filter(pl.col("perturbation") == factor.name).sort("position", "draw")
            per_image = rows.group_by("position", maintain_order=True).agg(
                pl.col("sample", "clean_prediction").first(), "prediction", "donor", "donor_position"
            )
            columns = per_image.unique("sample", keep="first", maintain_order=True)
            found = followed(*(
                np.array(columns[name].to_list(), np.int64)
                for name in ("clean_prediction", "prediction", "donor", "donor_position")
            ))  # fmt: skip
            low, high = (None, None) if found is None else _bounds(found, tail)
            yield Estimate(
                perturbation=factor.name, severity=1.0, draws="random", representation=None, distance=None,
                quantity=FOLLOWS, subset="all", statistic="mean", mean=found and found.mean, low=low, high=high,
                samples=found.images if found else 0,
                reason=None if found is not None else "no copy of an image from another class",
            )  # fmt: skip


def _bounds(found: Followed, tail: float) -> tuple[float | None, float | None]:
    """Student's interval over the fewer of images and donors; where all agree, others may not."""
    count = min(found.images, found.donors)
    if count < 2:
        return None, None
    reach = float(special.stdtrit(count - 1, 1 - tail))
    half = reach * found.error if found.error > 0 else reach**2 / (count + reach**2)
    return max(-1.0, found.mean - half), min(1.0, found.mean + half)
