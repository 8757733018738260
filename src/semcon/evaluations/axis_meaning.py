"""Axis meaning: is what a perturbation changes free of meaning on these data?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from semcon.class_score import answered
from semcon.core.errors import SemconError
from semcon.core.intervals import image_mean, wilson
from semcon.core.measured import Measured
from semcon.core.record import Estimate, Finding, PerturbationRecord
from semcon.core.registry import available, load
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Evaluation, Setting, trial_record
from semcon.grouping.axes import FOLDS, GEOMETRY, SEEN, answers
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.measuring.image_rows import image_frame
from semcon.measuring.plan import Trial
from semcon.measuring.references import Index
from semcon.measuring.row_writer import in_schema
from semcon.measuring.two_passes import Keeper, Reader
from semcon.progress import Progress
from semcon.report.numbers import counted, interval, number, percent, words
from semcon.subject import Subject

RUNG = 3  # of each ladder
MOST = 4000  # images: neighbours are looked for among all of them
CHANGED, FALL = 0.1, 0.1  # share of its right answers, and accuracy, that it loses where an axis is warned of
LIFT, TURNED, FALLEN = "factor_lift", "factor_changed", "factor_fall"


@dataclass(frozen=True)
class AxisMeaning(Evaluation):
    """For every perturbation a classifier that sees only what it changes, learned on these images in five folds.

    Its accuracy above that of the commonest class (`factor_lift`), how often a copy changes an answer that was right
    (`factor_changed`), and what copies cost it in accuracy (`factor_fall`). Mere correlation is everywhere, and answers
    that rest on little change easily: an axis is warned of only where the accuracy is above that of the commonest class
    with its interval, more than 10 % of the right answers change, and the copies cost the classifier 10 points.
    `axes`: (perturbation, severity). `reference`: a network of the user's choice that answers in the classifier's place
    where geometry changes, having learned elsewhere. The model is not asked, but for the table of images.
    """

    version: ClassVar[int] = 2

    question: ClassVar[str] = "Is what each perturbation changes free of meaning on these data?"
    needs: ClassVar[tuple[str, ...]] = ("labels",)
    at_once: ClassVar[bool] = True

    axes: tuple[tuple[str, float], ...]
    seed: int = 0
    reference: Subject | None = field(default=None, repr=False)

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """The fourth rung of each ladder, as far as these images bear; the same whatever the budget."""
        axes: list[tuple[str, float]] = []
        for name in SEEN:
            ladder = load("perturbations", name)().ladder
            severity = min(float(ladder[min(RUNG, len(ladder) - 1)]), setting.limits.get(name, float("inf")))
            if severity > 0:
                axes.append((name, severity))
        return cls(tuple(axes), setting.seed, setting.reference)

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """Errors: `SemconError` for a reference with other classes."""
        reference = self.reference
        if reference is None:
            return self
        named = reference.classes is not None and subject.classes is not None
        if reference.outputs != subject.outputs or (named and reference.classes != subject.classes):
            raise SemconError(
                f"the reference {reference.name} has {counted(reference.outputs, 'output')} and the model "
                f"{subject.outputs}: expected the same classes in the same order"
            )
        return self

    def settings(self) -> dict[str, Any]:
        """The reference by its weights."""
        reference = self.reference
        return super().settings() | {"reference": reference and [reference.source, reference.fingerprint]}

    def _seen(self, name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
        """Who answers of an axis, in words, and what it looks at: numbers (B, D), or the reference's answers (B,)."""
        reference = self.reference
        if reference is None or name not in GEOMETRY:
            return SEEN[name]
        return f"the reference {reference.name}", lambda x: _scaled(reference, x).argmax(1)

    @property
    def _trials(self) -> list[Trial]:
        return [Trial(name, load("perturbations", name)(), (severity,)) for name, severity in self.axes]

    def passes(self, subject: Subject) -> float:
        """The image alone, and what the reference sees of it."""
        asked = sum(name in GEOMETRY for name, _ in self.axes) if self.reference is not None else 0
        return 1.0 + 2 * asked

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """One for every axis; severity 0 is the image itself."""
        found = [trial_record(trial, 1) for trial in self._trials]
        return tuple(one.model_copy(update={"severities": (0.0, *one.severities)}) for one in found)

    def measured(self) -> Measured:
        """Its own figures alone."""
        return replace(super().measured(), quantities=(LIFT, TURNED, FALLEN))

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> None:
        """The images once, at most 4000 of the smallest keyed hash, then the classifiers; one part."""
        if skip:
            return
        rank = Keys(index.ids, self.seed, 0, "axis_meaning").bits("rank")
        chosen = sorted(rank.argsort(stable=True)[:MOST].tolist())
        if len(index.ids) < 2 * FOLDS:
            raise SemconError(
                f"axis_meaning learns in {FOLDS} folds: expected {2 * FOLDS} images, got {len(index.ids)}"
            )
        images: list[pl.DataFrame] = []
        own: dict[str, list[torch.Tensor]] = {name: [] for name, _ in self.axes}
        copies: dict[str, list[torch.Tensor]] = {name: [] for name, _ in self.axes}

        @torch.no_grad()
        def look(batch: Batch) -> int:
            x = batch.x.to(subject.device)
            confidence, prediction = answered(subject(x))
            found: list[tuple[str, Tensor, Tensor]] = []
            for trial in self._trials:
                unit = trial.perturbation.sample(Keys(batch.ids, self.seed, 0, trial.name, x.device), x)
                _, seen = self._seen(trial.name)
                moved = trial.perturbation(x, unit, trial.severities[0])
                found.append((trial.name, seen(x).cpu(), seen(moved).cpu()))
            images.append(image_frame(batch, prediction, confidence, {}))  # whole batches: memory may end before
            for name, untouched, changed in found:
                own[name].append(untouched)
                copies[name].append(changed)
            progress.advance(len(x))
            return len(x)

        with progress.task("axis meaning", total=len(chosen)):
            for batch in read(chosen):
                sum(fitting(batch, look, progress.say))
        frame = pl.concat(images)
        labels, ids = frame["label"].fill_null(-1).to_numpy().astype(np.int64), frame["sample"].to_numpy()
        rows = [
            _rows(
                frame, trial, self._seen(trial.name)[0],
                _answers(torch.cat(own[trial.name]), torch.cat(copies[trial.name]), labels, ids, self.seed),
            )
            for trial in self._trials
        ]  # fmt: skip
        keep(SampleTable(frame, in_schema(pl.concat(rows), ()), ()))

    def tells(self, estimate: Estimate, table: SampleTable) -> bool:
        """The rows are a classifier's answers, not the model's: only its own figures, in the conclusion, say that."""
        return False

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """Lift and changes of every axis; those that carry meaning."""
        estimates, findings, meant = list[Estimate](), list[Finding](), list[str]()
        most = float(table.images["label"].value_counts()["count"].max() or 0) / len(table.images)  # pyright: ignore[reportArgumentType]
        for name, severity in self.axes:
            accuracy, changed, fall = _axis(table, name)
            lift = [None if value is None else value - most for value in accuracy]
            estimates += [_estimate(name, severity, LIFT, lift, len(table.images)),
                          _estimate(name, severity, TURNED, changed[:3], int(changed[3] or 0)),
                          _estimate(name, severity, FALLEN, fall, len(table.images))]  # fmt: skip
            above, turned = accuracy[1] is not None and accuracy[1] > most, (changed[0] or 0) > CHANGED
            if above and turned and (fall[0] or 0) > FALL:
                meant.append(name)
                findings.append(Finding(
                    code="axis-carries-meaning", severity="warning",
                    message=f"{words(name)} may change what these images mean: {self._who(name)} has accuracy "
                    f"{number(accuracy[0])} "
                    f"{interval(accuracy[1], accuracy[2], accuracy[0])}, the commonest class {number(most)}; at "
                    f"{severity:g} it changes its answer for {percent(changed[0])} of the images that it gets right, "
                    f"and its accuracy falls to {number((accuracy[0] or 0) - (fall[0] or 0))}",
                    remedy="read what moves along this axis as sensitivity, not as a fault, or use smaller severities",
                ))  # fmt: skip
        ranked = sorted((one for one in estimates if one.quantity == LIFT), key=lambda one: -(one.mean or 0))[:3]
        told = ", ".join(
            f"{self._seen(name)[0]} ({words(name)}) {number(one.mean)} {interval(one.low, one.high, one.mean)}"
            for name, one in ((one.perturbation or "", one) for one in ranked)
        )
        sentence = f"What these data tell of their classes by one property alone, above the commonest class: {told}."
        warned = ", ".join(words(name) for name, _ in self.axes if name in meant)
        said = f"These may change what the images mean: {warned}." if warned else (
            "None of these perturbations is seen to change what the images mean."
        )  # fmt: skip
        unseen = [
            name for name in available("perturbations") if name not in SEEN and load("perturbations", name).default
        ]
        said += f" Of {', '.join(map(words, unseen))} it is not asked: no single property is theirs." if unseen else ""
        return Conclusion((sentence, said), findings=tuple(findings), estimates=tuple(estimates))

    def _who(self, name: str) -> str:
        seen, _ = self._seen(name)
        return seen if self.reference is not None and name in GEOMETRY else f"a classifier that sees only the {seen}"


def _scaled(reference: Subject, x: Tensor) -> Tensor:
    """What the reference says of images on another canvas: they take the size of its own."""
    fits = tuple(x.shape[2:]) == tuple(reference.size)
    return reference(x if fits else functional.interpolate(x, reference.size, mode="bilinear", antialias=True))


def _answers(
    own: Tensor, copies: Tensor, labels: np.ndarray, ids: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of the images and of their copies: the reference's (N,) as they are, of numbers (N, D) the classifier's."""
    if own.dim() == 1:
        return own.numpy(), copies.numpy()
    said, (moved,) = answers(own.double().numpy(), [copies.double().numpy()], labels, ids, seed)
    return said, moved


def _rows(images: pl.DataFrame, trial: Trial, who: str, said: tuple[np.ndarray, np.ndarray]) -> pl.DataFrame:
    """The answers: of the image at severity 0, of its copy at the axis's."""
    return pl.concat([
        pl.DataFrame({"position": images["position"], "prediction": answer.astype(np.int32)}).with_columns(
            perturbation=pl.lit(trial.name), severity=pl.lit(at), draws=pl.lit("random"), draw=pl.lit(0),
            method=pl.lit(who),
        )
        for at, answer in zip((0.0, *trial.severities), said, strict=True)
    ])  # fmt: skip


def _axis(table: SampleTable, name: str) -> tuple[list[float | None], list[float | None], list[float | None]]:
    """Accuracy with its interval; of the right answers the share that changes, with its interval, and how many are
    right; how much accuracy the copies cost, with its paired interval.
    """
    rows = table.joined().filter(pl.col("perturbation") == name).sort("position", "severity")
    pairs = rows.group_by("position", maintain_order=True).agg(
        pl.col("sample").first(), pl.col("label").first(), pl.col("prediction").first().alias("own"),
        pl.col("prediction").last().alias("moved"),
    )  # fmt: skip
    right = pairs.filter(pl.col("own") == pl.col("label"))
    accuracy = _rate(len(right), len(pairs), pairs["sample"].n_unique())
    changed = _rate(right.filter(pl.col("moved") != pl.col("own")).height, len(right), right["sample"].n_unique())
    own, moved = ((pl.col(answer) == pl.col("label")).cast(pl.Int8) for answer in ("own", "moved"))
    losses = pairs.select("sample", loss=own - moved)
    fall, low, high = image_mean(losses["loss"].to_numpy().astype(np.float64), losses["sample"].to_numpy())
    return accuracy, [*changed, float(len(right))], [fall, max(-1.0, low), min(1.0, high)]


def _rate(events: int, of: int, different: int) -> list[float | None]:
    """A share with Wilson's interval over different images; unknown of none."""
    if not of:
        return [None, None, None]
    low, high = wilson(events / of, float(different))
    return [events / of, float(low), float(high)]


def _estimate(name: str, severity: float, quantity: str, figures: list[float | None], samples: int) -> Estimate:
    return Estimate(
        perturbation=name, severity=severity, draws="random", representation=None, distance=None, quantity=quantity,
        subset="all", statistic="mean", mean=figures[0], low=figures[1], high=figures[2], samples=samples,
        reason=None if figures[0] is not None else "the classifier gets no image right",
    )  # fmt: skip
