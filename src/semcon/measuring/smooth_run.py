"""Smoothness over one batch: slopes at the images, steepest chords around them, paths away from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.class_score import answered
from semcon.core.table import OF_ROWS, SampleTable
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.eye import check_finite
from semcon.measuring.fitting import nothing
from semcon.measuring.image_rows import image_frame, not_finite, nullable
from semcon.measuring.paths import path_curvature, straightness
from semcon.measuring.plan import Trial
from semcon.measuring.row_writer import RowWriter
from semcon.measuring.slopes import Margin, centred, chord, steepest
from semcon.search import SearchSettings
from semcon.subject import Subject

EXTRAS = tuple(OF_ROWS)


@dataclass(frozen=True)
class SmoothPlan:
    """What is measured. `paths`: perturbations with the severity each path ends at, in `segments` equal steps.

    `ball`, `radii`: where steepest chords are looked for, as `search` says. `step`: of the curvature, in 1/255.
    """

    paths: tuple[Trial, ...]
    segments: int
    draws: int
    ball: Trial
    search: SearchSettings
    step: float
    seed: int

    def passes(self, *, gradients: bool) -> float:
        """Forward passes per image, a backward pass counted as two."""
        paths = self.segments * sum(trial.draws(self.draws) for trial in self.paths)
        if not gradients:
            return 1 + paths
        return 6 + paths + len(self.ball.severities) * self.ball_passes

    @property
    def ball_passes(self) -> float:
        """The same for one radius: the starts, the search, the prediction at the copy."""
        restarts = self.search.restarts
        return max(1, restarts) + restarts * (3 * self.search.steps + 1) + 1


@dataclass(frozen=True)
class SmoothRun:
    """One batch at a time; whatever a model without gradients cannot give is null."""

    plan: SmoothPlan
    subject: Subject
    advance: Callable[[float], None] = nothing

    def measure(self, batch: Batch) -> SampleTable:
        """All rows of a batch."""
        x = batch.x.to(self.subject.device)
        margin = Margin.at(self.subject, x)
        check_finite(batch, {"logits": margin.logits})
        confidence, prediction = answered(margin.logits)
        unknown = nullable(torch.full((len(x),), torch.nan))
        columns: dict[str, object] = {"gradient_norm": unknown, "input_curvature": unknown}
        if margin.gradient is not None:
            columns["gradient_norm"] = nullable(margin.slope)
            columns["input_curvature"] = nullable(margin.curvature(self.subject, x, self.plan.step / 255))
        self.advance(len(x) * (1.0 if margin.gradient is None else 6.0))
        rows = RowWriter((), batch, EXTRAS)
        with torch.no_grad():
            if margin.gradient is not None:
                self._chords(x, batch.ids, margin, rows)
            for trial in self.plan.paths:
                for draw in range(trial.draws(self.plan.draws)):
                    keys = Keys(batch.ids, self.plan.seed, draw, trial.name, x.device)
                    self._path(batch, x, keys, trial, margin, rows)
        return SampleTable(image_frame(batch, prediction, confidence, columns), rows.frame(), ())

    def _chords(self, x: Tensor, ids: Tensor, margin: Margin, rows: RowWriter) -> None:
        ball, name, search = self.plan.ball.perturbation, self.plan.ball.name, self.plan.search
        copies = None
        for radius in self.plan.ball.severities:
            copies = steepest(
                ball, self.subject, x, radius, margin, settings=search, inner=copies,
                draw=lambda draw: ball.sample(Keys(ids, self.plan.seed, draw, name, x.device), x),
            )  # fmt: skip
            logits = self.subject(copies)
            found = margin.share(chord(logits, x, copies, margin))
            method = search.method(ball, gradients=True, known=max(1, search.restarts))
            rows.add(name, radius, "worst_slope", 0, method, _values(logits, margin, {"lipschitz": found}))
            self.advance(len(x) * self.plan.ball_passes)

    def _path(self, batch: Batch, x: Tensor, keys: Keys, trial: Trial, margin: Margin, rows: RowWriter) -> None:
        unit, end = trial.perturbation.sample(keys, x), max(trial.severities)
        canvases, outputs = [x], [margin.logits]
        for step in range(1, self.plan.segments + 1):
            canvases.append(trial.perturbation(x, unit, end * step / self.plan.segments))
            outputs.append(centred(self.subject(canvases[-1])))
            self.advance(len(x))
        z, pixels = torch.stack(outputs), torch.stack([canvas.flatten(1) for canvas in canvases])
        bad = ~z.isfinite().all(0).all(1)
        if bool(bad.any()):
            raise not_finite(batch, bad, "logits", f"under {trial.name} up to severity {end:g}")
        found = {
            "logits.straightness": straightness(z), "logits.path_curvature": path_curvature(z),
            "pixels.straightness": straightness(pixels), "pixels.path_curvature": path_curvature(pixels),
        }  # fmt: skip
        values = _values(outputs[-1], margin, found)
        rows.add(trial.name, end, "random", int(keys.draw), None, values)


def _values(logits: Tensor, margin: Margin, extras: dict[str, Tensor]) -> Tensor:
    """What a row holds: prediction, confidence in the class of the untouched image, and the extras that are known."""
    confidence = logits.softmax(1).gather(1, margin.top[:, None]).squeeze(1)
    missing = torch.full_like(confidence, torch.nan)
    return torch.stack([logits.argmax(1).float(), confidence, *(extras.get(name, missing) for name in EXTRAS)])
