"""Bias search: told nothing of the data, which property of the image does the prediction follow?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Self

import polars as pl
import torch
from torch import Tensor

from semcon.core.errors import SemconError
from semcon.core.record import Estimate, Finding, PerturbationRecord
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Evaluation, Setting
from semcon.grouping.factors import FACTORS, Factor
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

PER_CLASS, MOST = 12, 600  # donors
FLOOR = 0.05  # how often predictions must follow before a property is named
QUANTITY = "follows"


@dataclass(frozen=True)
class _Pool:
    """Donors by class: `x` (N, 3, H, W), `masks` (N, 1, H, W) or None, `ids` (N,), `classes` (N,)."""

    x: Tensor
    masks: Tensor | None
    ids: Tensor
    classes: Tensor

    @property
    def names(self) -> list[int]:
        """The classes that there are."""
        return sorted(set(self.classes.tolist()))


@dataclass(frozen=True)
class BiasSearch(Evaluation):
    """Every image takes one property (`factors`) from images of its own predicted class and of others.

    `donors`: how many classes each image takes it from. `follows`: how much more often a copy is predicted to be of the
    class that the property came from than where it came from another class: 0 where predictions do not care whose it
    is, 1 where it alone decides. Classes are the labels; without labels, what is predicted.
    """

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
                f"other: all are of class {pool.names[0]}"
            )
        total = self.passes(subject)

        def work(batch: Batch) -> SampleTable:
            return self._measured(subject, pool, batch, progress)

        parts = (SampleTable.concat(list(fitting(batch, work, progress.say))) for batch in read(left_of(index, skip)))
        with progress.task("bias search", total=total * len(index.ids), done=total * len(skip)):
            keep_often(parts, keep)

    def _pool(self, subject: Subject, index: Index, read: Reader) -> _Pool:
        """Some images of each class, those of the smallest keyed hash."""
        rank = Keys(index.ids, self.seed, 0, "bias_search").bits("donor")
        order = rank.argsort(stable=True)
        if index.labelled:
            labels, each = index.labels[order], max(2, min(PER_CLASS, MOST // len(index.labels.unique())))
            rows = torch.cat([order[labels == label][:each] for label in labels.unique()])
        else:
            rows = order[:MOST]
        found = Batch.concat(list(read(sorted(rows.tolist()))))
        classes = found.labels
        if not index.labelled:
            with torch.no_grad():
                parts = [subject(part.x.to(subject.device)).argmax(1).cpu() for part in found.split(64)]
            classes = torch.cat(parts)
        return _Pool(found.x, found.masks, found.ids, classes)

    @torch.no_grad()
    def _measured(self, subject: Subject, pool: _Pool, batch: Batch, progress: Progress) -> SampleTable:
        x = batch.x.to(subject.device)
        masks = None if batch.masks is None else batch.masks.to(x.device)
        probabilities = subject(x).softmax(1)
        confidence, prediction = probabilities.max(1)
        progress.advance(len(x))
        rows = RowWriter((), batch, ("donor",))
        chosen, classes = self._chosen(pool, batch.ids, prediction.cpu())
        for slot in range(chosen.shape[1]):
            donor = pool.x[chosen[:, slot]].to(x.device)
            theirs = None if pool.masks is None else pool.masks[chosen[:, slot]].to(x.device)
            for factor in self._factors:
                scores = subject(factor.transplant(x, donor, masks, theirs)).softmax(1)
                kept = scores.gather(1, prediction[:, None]).squeeze(1)
                values = torch.stack((scores.argmax(1).float(), kept, classes[:, slot].to(kept)))
                rows.add(factor.name, 1.0, "random", slot, None, values)
                progress.advance(len(x))
        return SampleTable(image_frame(batch, prediction, confidence, {}), rows.frame(), ())

    def _chosen(self, pool: _Pool, ids: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the pool and their classes, (B, donors): first of the predicted class, then of others, all keyed."""
        names = torch.tensor(pool.names)
        slots = min(self.donors, len(names))
        keys = Keys(ids, self.seed, 0, "bias_search")
        rank = keys.uniform("class", (len(names),))
        rank[names[None] == prediction[:, None]] = -1.0
        classes = names[rank.argsort(dim=1)[:, :slots]]
        turn = keys.uniform("which", (slots, len(pool.ids)))
        wrong = (pool.classes[None, None] != classes[:, :, None]) | (pool.ids[None, None] == ids[:, None, None])
        rows = turn.masked_fill(wrong, 2.0).argmin(dim=2)
        return rows, pool.classes[rows]  # a class that has no other image gives way to whose row is there

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
                          findings=tuple(findings), estimates=tuple(found))  # fmt: skip

    def _scores(self, table: SampleTable) -> Iterator[Estimate]:
        reach = NormalDist().inv_cdf(1 - 0.025 / len(self.factors))  # Bonferroni over the properties
        for factor in self._factors:
            rows = table.joined().filter(pl.col("perturbation") == factor.name)
            per_image = rows.group_by("position", maintain_order=True).agg(
                pl.col("sample").first(), pl.col("clean_prediction").first(), "prediction", "donor"
            )
            scores = per_image.select(
                "sample",
                score=pl.struct("clean_prediction", "prediction", "donor").map_elements(
                    _score, return_dtype=pl.Float64
                ),
            ).drop_nulls()
            means = scores.group_by("sample").agg(pl.col("score").mean())["score"]
            mean = None if not len(means) else float(means.mean() or 0)  # pyright: ignore[reportArgumentType]
            error = None if len(means) < 2 else float(means.std() or 0) / len(means) ** 0.5  # pyright: ignore[reportArgumentType]
            least = reach**2 / (len(means) + reach**2)  # where all agree, others may not
            half = None if error is None else max(reach * error, least if error == 0 else 0.0)
            yield Estimate(
                perturbation=factor.name, severity=1.0, draws="random", representation=None, distance=None,
                quantity=QUANTITY, subset="all", statistic="mean", mean=mean,
                low=None if mean is None or half is None else max(-1.0, mean - half),
                high=None if mean is None or half is None else min(1.0, mean + half), samples=len(means),
                reason=None if mean is not None else "no copy of an image from another class",
            )  # fmt: skip


def _score(one: dict[str, list[int] | int]) -> float | None:
    """Of one image, over donors of other classes: whether the copy of each is predicted to be of its class, less how
    often those of the other donors are.
    """
    own, predicted, donors = one["clean_prediction"], one["prediction"], one["donor"]
    assert isinstance(predicted, list)
    assert isinstance(donors, list)
    found = [
        (said == donor) - sum(other == donor for j, other in enumerate(predicted) if j != k) / (len(donors) - 1)
        for k, (said, donor) in enumerate(zip(predicted, donors, strict=True))
        if donor != own and len(donors) > 1
    ]
    return sum(found) / len(found) if found else None
