"""All attacks on one batch, as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from semcon.attacking.attempt import Attempt
from semcon.attacking.autoattack import autoattack
from semcon.attacking.curve import Draws, Fallen, Gradient, Topple, narrow, search_ladder
from semcon.attacking.goal import Goal, Scores, by_cross_entropy, gives_probabilities, of_probabilities
from semcon.attacking.space import Space
from semcon.attacking.square import Square
from semcon.core.table import SampleTable
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.image_rows import not_finite
from semcon.measuring.row_writer import RowWriter
from semcon.subject import Subject


@dataclass(frozen=True)
class AttackSettings:
    """How hard is tried. `steps`, `restarts`, `momentum`: of gradient ascent. `rounds`: of bisection.

    `draws`: random copies that are shown beside the worst one; `samples`: those tried where there are few parameters;
    `queries`: of the attack without gradients.
    """

    steps: int
    restarts: int
    momentum: float
    rounds: int
    draws: int
    samples: int
    queries: int
    seed: int

    def topple(self, attempt: Attempt, *, gradients: bool) -> tuple[Topple, Topple]:
        """An attack at one severity, and a shorter one for the bisections."""
        if attempt.name == "square_linf":
            return Square(self.queries), Square(max(1, self.queries // 2))
        samples = 0 if attempt.perturbation.family == "additive_ball" else max(self.samples, self.draws)
        steps = self.steps if gradients else 0
        whole = Gradient(steps, self.restarts, momentum=self.momentum, samples=samples)
        return whole, Gradient(-(-steps // 2), 1, momentum=self.momentum, samples=samples // 2)


class BatchRun:
    """One batch under attack. Errors: `SemconError` naming the images for which the model's output is not finite."""

    def __init__(
        self, settings: AttackSettings, subject: Subject, batch: Batch, advance: Callable[[float], None]
    ) -> None:  # fmt: skip
        self.settings, self.subject, self.batch, self.advance = settings, subject, batch, advance
        self.x = batch.x.to(subject.device)
        scores = scores_of(subject)
        with torch.no_grad():
            self.clean = scores(self.x)
        if not bool(self.clean.isfinite().all()):
            raise not_finite(batch, ~self.clean.isfinite().all(1).cpu(), "logits", "untouched")
        self.prediction = self.clean.argmax(1)
        self.goal = Goal(scores, to_leave(batch, self.clean))
        self.rows = RowWriter((), batch)
        self.advance(len(self.x))

    def table(self, attempts: Sequence[Attempt]) -> SampleTable:
        """All rows of the batch."""
        ways = {"fgsm_linf": self._one_step, "autoattack_linf": self._reference}
        for attempt in attempts:
            ways.get(attempt.name, self._search)(attempt)
            self.advance(attempt.passes * len(self.x))
        return SampleTable(self._images(), self.rows.frame(), ())

    def _search(self, attempt: Attempt) -> None:
        settings = self.settings
        draws = Draws(attempt.perturbation, Keys(self.batch.ids, settings.seed, 0, attempt.name, self.x.device), self.x)
        known = None if attempt.perturbation.family == "additive_ball" else self._random(attempt, draws)
        topple, shorter = settings.topple(attempt, gradients=self.subject.differentiable)
        curve, unit = search_ladder(
            self.x, self.goal, self.clean, attempt.ladder, topple=topple, draws=draws, known=known
        )
        for eps, scores in zip(attempt.ladder, curve.scores, strict=True):
            self._row(attempt, eps, scores)
        critical = narrow(
            curve, unit, self.x, self.goal, attempt.ladder, topple=shorter, draws=draws, rounds=settings.rounds
        )
        self.rows.critical(attempt.name, critical, attempt.ladder[-1])

    @torch.no_grad()
    def _random(self, attempt: Attempt, draws: Draws) -> Fallen:
        """The same severities at random."""
        fallen = Fallen.none(draws(0), self.clean, len(attempt.ladder))
        for number in range(self.settings.draws):
            unit = draws(number)
            for rung, severity in enumerate(attempt.ladder, start=1):
                scores = self.goal.scores(attempt.perturbation(self.x, unit, severity))
                self._row(attempt, severity, scores, draw=number)
                fallen.note(rung, unit, scores, self.goal)
        return fallen

    def _one_step(self, attempt: Attempt) -> None:
        """FGSM: the sign of the untouched image's gradient, at each size."""
        space = Space(attempt.perturbation, self.x, torch.ones_like(self.clean[:, 0]))
        _, slope = space.look({"field": torch.zeros_like(self.x)}, self.goal, by_cross_entropy)
        field, wrong = slope["field"].nan_to_num().sign(), (self.prediction != self.goal.leave)[:, None]
        for eps in attempt.ladder:
            with torch.no_grad():
                scores = self.goal.scores(attempt.perturbation(self.x, {"field": field}, eps))
            self._row(attempt, eps, torch.where(wrong, self.clean, scores))

    def _reference(self, attempt: Attempt) -> None:
        """AutoAttack on the images that are right."""
        right = torch.nonzero(self.prediction == self.goal.leave).flatten()
        for eps in attempt.ladder:
            scores = self.clean.clone()
            if len(right):
                copies = autoattack(self.x[right], self.goal.of(right), eps, self.settings.seed)
                with torch.no_grad():
                    scores[right] = self.goal.scores(copies)
            self._row(attempt, eps, scores)

    def _row(self, attempt: Attempt, eps: float, scores: Tensor, draw: int | None = None) -> None:
        """One copy of every image: its class, and the confidence that is left in the untouched image's class."""
        known = scores.isfinite().all(1)
        if not bool(known.all()):
            raise not_finite(self.batch, ~known.cpu(), "logits", f"under {attempt.name} at {eps:g}")
        confidence = scores.softmax(1).gather(1, self.prediction[:, None]).squeeze(1)
        values = torch.stack((scores.argmax(1).float(), confidence.float()))
        if draw is None:
            self.rows.add(attempt.name, eps, "worst_flip", 0, attempt.method, values)
        else:
            self.rows.add(attempt.name, eps, "random", draw, None, values)

    def _images(self) -> pl.DataFrame:
        batch, confidence = self.batch, self.clean.softmax(1).max(1).values
        columns: dict[str, object] = {
            "position": batch.positions.tolist(), "sample": batch.ids.tolist(), "title": list(batch.titles),
            "label": [label if label >= 0 else None for label in batch.labels.tolist()],
            "prediction": self.prediction.cpu().numpy(), "confidence": confidence.float().cpu().numpy(),
            "gradient_norm": None, "reference": False, "others": None,
        }  # fmt: skip
        schema = SampleTable.image_schema(())
        return pl.DataFrame(columns).select(pl.col(name).cast(kind) for name, kind in schema.items())


def scores_of(subject: Subject) -> Scores:
    """A subject's scores: its logits, or the logarithm of its outputs where they are probabilities."""
    like = torch.zeros(1, 3, subject.canvas.height, subject.canvas.width, device=subject.device)
    return of_probabilities(subject) if gives_probabilities(subject, like) else subject


def to_leave(batch: Batch, clean: Tensor) -> Tensor:
    """The class that every image is to leave, (B,): its label, else the class of the untouched image."""
    labels = batch.labels.to(clean.device)
    return torch.where(labels >= 0, labels, clean.argmax(1))
