"""Transfer: how well do the model's features serve another data set?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch

from semcon.core.errors import MissingPackageError, SemconError
from semcon.core.intervals import wilson
from semcon.core.measured import Measured
from semcon.core.record import Estimate, Finding, PerturbationRecord
from semcon.core.shared_draws import accuracy_by_draw, over_draws
from semcon.core.summary import Summary, to_estimates
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Evaluation, Setting
from semcon.loading import Batch
from semcon.measuring.image_rows import image_frame
from semcon.measuring.references import Index
from semcon.measuring.row_writer import in_schema
from semcon.measuring.two_passes import Keeper, Reader
from semcon.progress import Progress
from semcon.report.numbers import counted, interval, number
from semcon.subject import Subject
from semcon.transferring.features import LOGITS, feature_layer, features
from semcon.transferring.fine_tuning import fine_tuned, with_new_head
from semcon.transferring.readouts import Guess, class_means, few, linear_probe, nearest_neighbours
from semcon.transferring.target import Target

SHOTS, UNIT = (1, 5, 10, 25), "images a class to learn from"
LEAST = 100  # images to judge by
BATCH, TUNED_IN = 64, 64  # images at a time, to look at and to fine-tune on
SOURCES = {
    "knn": "arXiv 1805.01978", "linear_probe": "logistic regression, L2 by cross-validation",
    "few_shot": "arXiv 1703.05175", "fine_tuning": "SGD, one cycle",
}  # fmt: skip


@dataclass(frozen=True)
class Transfer(Evaluation):
    """Features of the network on another data set, and the accuracy of what is learned from them there.

    `layer`: where features come from; None the input of the last linear layer. Nearest neighbours and a linear probe
    see all images to learn from; `shots` of each class are drawn `draws` times; `steps` of fine-tuning, 0 for none.
    """

    own_images: ClassVar[bool] = False
    at_once: ClassVar[bool] = True
    version: ClassVar[int] = 3

    question: ClassVar[str] = "How well do the model's features serve another data set?"

    target: Target = field(repr=False)
    layer: str | None = None
    shots: tuple[int, ...] = ()
    draws: int = 1
    steps: int = 0
    seed: int = 0
    left_out: tuple[int, ...] = ()

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Fast: neighbours and the probe. Standard: shots, drawn five times. Full: ten times, and fine-tuning."""
        if setting.target is None:
            raise SemconError("the evaluation transfer needs a data set to transfer to: --transfer-to DATA")
        shots = SHOTS if setting.shots is None and setting.budget != "fast" else setting.shots or ()
        draws = {"fast": 5, "standard": 5, "full": 10}[setting.budget]
        steps = 600 if setting.budget == "full" else 0
        one = cls(setting.target, setting.transfer_layer, tuple(sorted(set(shots))), draws, steps, setting.seed)
        return one._within(asked=setting.shots is not None)

    def _within(self, *, asked: bool) -> Self:
        """Without the shots that a class has no images for. Errors: `SemconError` where they were asked for."""
        counts = self.target.counts
        least, name = int(counts.min()), self.target.classes[int(counts.argmin())]
        beyond = tuple(shots for shots in self.shots if shots > least)
        if asked and beyond:
            raise SemconError(
                f"{max(beyond)} images a class were asked for, and the class {name} of {self.target.source} has "
                f"{least} to learn from"
            )
        return replace(self, shots=tuple(shots for shots in self.shots if shots <= least), left_out=beyond)

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """With the layer that features come from. Errors: `UnknownNameError` for one that the model lacks."""
        if self.steps and find_spec("lightning_fabric") is None:
            raise MissingPackageError("lightning-fabric", "train", "fine-tuning")
        if self.steps and subject.module is None:
            raise SemconError("fine-tuning needs the network itself: this model is a black box (--budget standard)")
        if self.steps:
            with_new_head(subject, len(self.target.classes), self.seed)
        return replace(self, layer=feature_layer(subject, self.layer))

    def passes(self, subject: Subject) -> float:
        """None on the audit's own images."""
        return 0.0

    def closing(self) -> float:
        """Both parts of the target once, and fine-tuning."""
        return len(self.target.train) + len(self.target.test) + 3.0 * TUNED_IN * self.steps

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """What is learned, at how many images a class."""
        whole = (self._mean_count,)
        ladders = {
            "knn": whole, "linear_probe": whole, "few_shot": tuple(map(float, self.shots)),
            "fine_tuning": whole if self.steps else (),
        }  # fmt: skip
        return tuple(
            PerturbationRecord(
                name=name, family="transfer", unit=UNIT, source=SOURCES[name], kind="discrete", parameters="fixed",
                version=1, severities=ladder, draws=self.draws if name == "few_shot" else 1,
            )
            for name, ladder in ladders.items()
            if ladder
        )  # fmt: skip

    @property
    def _mean_count(self) -> float:
        """Images to learn from, a class on average."""
        return round(len(self.target.train) / len(self.target.classes), 1)

    def settings(self) -> dict[str, Any]:
        """The target by its images."""
        target = self.target
        return {
            "version": self.version, "target": target.source, "target_images": target.fingerprint,
            "learned_from": len(target.train), "judged_by": len(target.test), "class_names": list(target.classes),
            "layer": self.layer, "shots": list(self.shots), "draws": self.draws, "steps": self.steps, "seed": self.seed,
        }  # fmt: skip

    def measured(self) -> Measured:
        """Accuracy alone."""
        return replace(super().measured(), quantities=("accuracy",))

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> None:
        """Features once, then what is learned from them; one part."""
        if skip:
            return
        target, layer = self.target, self.layer or LOGITS
        with progress.task("transfer", total=self.closing()):
            learned, judged = (
                features(subject, part, layer, BATCH, progress.advance) for part in (target.train, target.test)
            )
            known = (learned, target.train.labels)
            rows = list(self._rows(subject, known, judged, progress.advance))
        prior = torch.bincount(target.train.labels, minlength=len(target.classes))
        keep(SampleTable(self._images(prior / prior.sum()), in_schema(pl.concat(rows), ()), ()))

    def _rows(
        self, subject: Subject, known: tuple[torch.Tensor, torch.Tensor], judged: torch.Tensor,
        advance: Callable[[float], None],
    ) -> Iterator[pl.DataFrame]:  # fmt: skip
        target, classes, count = self.target, len(self.target.classes), self._mean_count
        yield _row("knn", count, 0, None, nearest_neighbours(*known, judged, classes))
        guess, strength = linear_probe(*known, judged, classes, self.seed, ids=target.train.scan.ids)
        yield _row("linear_probe", count, 0, f"C = {strength:g}", guess)
        for shots in self.shots:
            for draw in range(self.draws):
                some = few(target.train.scan.ids, target.train.labels, shots, self.seed, draw)
                guess = class_means(known[0][some], known[1][some], judged, classes)
                yield _row("few_shot", float(shots), draw, None, guess)
        if self.steps:
            guess = fine_tuned(subject, target, steps=self.steps, batch_size=TUNED_IN, seed=self.seed)
            yield _row("fine_tuning", count, 0, f"{self.steps} steps", guess)
            advance(3.0 * TUNED_IN * self.steps)

    def _images(self, prior: torch.Tensor) -> pl.DataFrame:
        """The images that are judged; `prediction`: the commonest class, what is said without looking."""
        test, best, count = self.target.test, int(prior.argmax()), len(self.target.test)
        titles = tuple(test.dataset.title(place) for place in test.scan.positions.tolist())
        batch = Batch(torch.empty(count, 0), torch.arange(count), test.scan.ids, test.labels, titles)
        return image_frame(batch, torch.full((count,), best), prior[best].expand(count), {})

    def class_names(self) -> tuple[str, ...]:
        """The target's."""
        return self.target.classes

    def tells(self, estimate: Estimate, table: SampleTable) -> bool:
        """Accuracy alone, and nothing of the images of the commonest class; few shots are told in the conclusion."""
        return _told(estimate) and estimate.perturbation != "few_shot"

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """Accuracy in words, beside that of guessing the commonest class.

        Few shots depend on which they are, alike for all images that are judged: their intervals are over draws above
        images (`core.shared_draws`).
        """
        summary = Summary(table, self.seed, class_names=self.target.classes, only=())
        by_draw = accuracy_by_draw(summary)
        every = [
            over_draws(one, by_draw[one.perturbation, one.severity, one.subset])
            for name in summary.names
            for figures in summary.cells(name)
            for one in to_estimates(figures)
            if _told(one)
        ]
        found = {(one.perturbation, one.severity): one for one in every if one.subset == "all"}
        target, count = self.target, self._mean_count
        told = [
            f"nearest neighbours {_text(found['knn', count])}",
            f"a linear probe {_text(found['linear_probe', count])}",
        ]
        told += [
            f"few-shot with {counted(shots, 'image')} of each class {_text(found['few_shot', float(shots)])}"
            for shots in self.shots
        ]
        if self.steps:
            told.append(f"fine-tuning {_text(found['fine_tuning', count])}")
        chance = float((table.images["label"] == table.images["prediction"]).mean() or 0)  # pyright: ignore[reportArgumentType]
        low, high = wilson(chance, float(len(table.images)))
        bad = f" ({counted(target.bad, 'unreadable image')} left out)" if target.bad else ""
        sentence = (
            f"Learning from {counted(len(target.train), 'image')} of the target {target.shown} in "
            f"{len(target.classes)} classes, judged by {len(target.test)} others{bad}: accuracy is {'; '.join(told)}. "
            f"The commonest class alone has {number(chance)} {interval(float(low), float(high), chance)}."
        )
        few = tuple(one for one in every if one.perturbation == "few_shot")
        return Conclusion((sentence,), findings=tuple(self._findings()), estimates=few)

    def _findings(self) -> Iterator[Finding]:
        judged = len(self.target.test.scan.ids.unique())
        if judged < LEAST:
            yield Finding(
                code="transfer-few-images", severity="warning",
                message=f"only {counted(judged, 'different image')} of {self.target.shown} judge what was learned: "
                "differences smaller than the intervals cannot be read",
                remedy=f"give a target of which at least {LEAST} images are left to judge by",
            )  # fmt: skip
        if self.left_out:
            least, name = int(self.target.counts.min()), self.target.classes[int(self.target.counts.argmin())]
            yield Finding(
                code="transfer-few-images", severity="note",
                message=f"the class {name} of {self.target.shown} has {counted(least, 'image')} to learn from: "
                f"{', '.join(map(str, self.left_out))} a class are left out",
                remedy="give more images to learn from, or smaller --shots",
            )  # fmt: skip
        if self.layer == LOGITS:
            yield Finding(
                code="transfer-from-logits", severity="note",
                message="no last linear layer was found: the features are the model's own outputs",
                remedy="name a layer by --transfer-layer",
            )  # fmt: skip


def _row(name: str, severity: float, draw: int, method: str | None, guess: Guess) -> pl.DataFrame:
    """What is said of every image that is judged."""
    return pl.DataFrame({
        "position": np.arange(len(guess.prediction)), "prediction": guess.prediction.numpy().astype(np.int32),
        "confidence": guess.confidence.numpy().astype(np.float32),
    }).with_columns(
        perturbation=pl.lit(name), severity=pl.lit(severity), draws=pl.lit("random"), draw=pl.lit(draw),
        method=pl.lit(method, dtype=pl.String),
    )  # fmt: skip


def _told(one: Estimate) -> bool:
    """There is no untouched copy that anything could flip from, nor one that is right."""
    return one.quantity == "accuracy" and one.perturbation is not None and one.subset != "correct"


def _text(one: Estimate) -> str:
    return f"{number(one.mean)} {interval(one.low, one.high, one.mean)}"
