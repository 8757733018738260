"""What evaluations share that ask something of the map of every image, and perturb nothing beforehand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from semcon.class_score import answered
from semcon.core.concepts import Explanation
from semcon.core.measured import Measured
from semcon.core.record import PerturbationRecord
from semcon.core.registry import file_name
from semcon.core.table import SampleTable
from semcon.evaluating import Evaluation, Setting
from semcon.explaining.choosing import as_settings, chosen, settled
from semcon.explaining.stability import SCOPE
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.eye import check_finite
from semcon.measuring.fitting import fitting
from semcon.measuring.image_rows import image_frame, nullable
from semcon.measuring.references import Index
from semcon.measuring.row_writer import RowWriter
from semcon.measuring.two_passes import Keeper, Reader, keep_often, left_of
from semcon.progress import Progress
from semcon.report.numbers import words
from semcon.subject import Subject


@dataclass(frozen=True)
class Mapped:
    """A batch with its maps: `x` (B, 3, H, W), `target` (B,) the class predicted, `maps` (B, H, W) by name.

    `control`: the evaluation's, made once for all batches.
    """

    batch: Batch
    x: Tensor
    target: Tensor
    keys: Keys
    maps: dict[str, Tensor]
    control: Subject | None = None


@dataclass(frozen=True)
class MapEvaluation(Evaluation):
    """Explains the class predicted on every image; `measure` says what is asked of the maps."""

    explanations: tuple[Explanation, ...]
    asked: bool = False
    seed: int = 0

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """With the explanations asked for, or the budget's."""
        explanations = chosen(setting.explanations, setting.budget, gradients=setting.gradients)
        return cls(explanations, asked=setting.explanations is not None, seed=setting.seed)

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """With explanations that know their layer."""
        return replace(self, explanations=settled(self.explanations, subject, asked=self.asked))

    def passes(self, subject: Subject) -> float:
        """The prediction and the maps."""
        return 1 + sum(one.passes for one in self.explanations)

    def measured(self) -> Measured:
        """With the explanations as gauges."""
        return replace(super().measured(), gauges=tuple(self.named))

    def settings(self) -> dict[str, Any]:
        """The explanations by their own settings, layers apart."""
        return super().settings() | as_settings(self.explanations)

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """Nothing that a severity belongs to."""
        return ()

    @property
    def named(self) -> dict[str, Explanation]:
        """The explanations by name."""
        return {file_name(type(one)): one for one in self.explanations}

    def control(self, subject: Subject) -> Subject | None:
        """Another network that the maps are held against, where one is wanted."""
        return None

    @abstractmethod
    def measure(self, subject: Subject, mapped: Mapped) -> dict[str, Tensor]:
        """Columns `METHOD.QUANTITY` (B,), the same for every batch; NaN where unknown."""

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> None:
        """One pass; no references."""

        @torch.no_grad()
        def measured(batch: Batch) -> SampleTable:
            x = batch.x.to(subject.device)
            logits = subject(x)
            check_finite(batch, {"logits": logits})
            confidence, target = answered(logits)
            keys = Keys(batch.ids, self.seed, 0, SCOPE, x.device)
            maps = {name: one(subject, x, target, keys) for name, one in self.named.items()}
            columns = {
                name: nullable(values)
                for name, values in self.measure(subject, Mapped(batch, x, target, keys, maps, control)).items()
            }
            progress.advance(len(x) * total)
            rows = RowWriter((), batch).frame()
            return SampleTable(image_frame(batch, target, confidence, columns), rows, ())

        def tables() -> Iterator[SampleTable]:
            for batch in read(left_of(index, skip)):
                yield SampleTable.concat(list(fitting(batch, measured, progress.say)))

        total, control = self.passes(subject), self.control(subject)
        title = words(file_name(type(self)))
        with progress.task(title, total=total * len(index.ids), done=total * len(skip)):
            keep_often(tables(), keep)
