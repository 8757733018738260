"""Smoothness: how steep and how bent is the output around an image, and on the way to a copy that means the same?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import polars as pl
import torch
from torch import Tensor

from semcon.core.errors import SemconError
from semcon.core.intervals import finite
from semcon.core.measured import Measured
from semcon.core.pictured import MapRecord
from semcon.core.record import Finding, PerturbationRecord
from semcon.core.registry import load
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Evaluation, Setting, trial_record
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.measuring.gauges import inert
from semcon.measuring.plan import Trial
from semcon.measuring.references import Index
from semcon.measuring.slopes import Margin
from semcon.measuring.smooth_run import SmoothPlan, SmoothRun
from semcon.measuring.surface import sign_directions, surface
from semcon.measuring.two_passes import Keeper, Reader, keep_often, left_of
from semcon.progress import Progress
from semcon.report.numbers import words
from semcon.search import SearchSettings
from semcon.subject import Subject

BALL = "l2"
FEW = ("brightness", "gaussian_noise", "gaussian_blur", "rotation")
MORE = ("brightness", "contrast", "hue", "gaussian_noise", "gaussian_blur", "rotation", "translation")
PICTURES = 4
CANDIDATES = 64  # images of the probe that pictures are chosen from


@dataclass(frozen=True)
class Smoothness(Evaluation):
    """Slopes of the margin, steepest chords in L2 balls, straightness of paths, and pictures of the loss surface.

    `paths`: (perturbation, severity) where each path ends, in `segments` equal steps from the image. `radii`: of the
    balls, searched in `steps` from `restarts` keyed draws. `step`: where the second gradient is taken. `reach`: of the
    pictures. Radii, step and reach are in 1/255. Without gradients only the paths are measured, and pictured.
    """

    question: ClassVar[str] = "How steep and how bent is the output around an image, and on the way to its copies?"

    paths: tuple[tuple[str, float], ...]
    segments: int = 8
    draws: int = 1
    radii: tuple[float, ...] = (32.0, 128.0)
    steps: int = 6
    restarts: int = 1
    step: float = 2.0
    reach: float = 8.0
    seed: int = 0
    idle: tuple[str, ...] = ()

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Paths to the fourth rung of their ladders, as far as these images bear."""
        paths: list[tuple[str, float]] = []
        for name in FEW if setting.budget == "fast" else MORE:
            ladder = load("perturbations", name).ladder
            end = min(float(ladder[min(3, len(ladder) - 1)]), setting.limits.get(name, float("inf")))
            if end > 0:
                paths.append((name, end))
        one = cls(tuple(paths), seed=setting.seed)
        if setting.budget == "fast":
            return one
        return replace(one, steps=10) if setting.budget == "standard" else replace(one, steps=20, restarts=2, draws=3)

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """Without the paths that leave these images where they are; without balls where there are no gradients."""
        idle = tuple(one.name for one in self._trials if inert(one, probe, self.seed, subject.device))
        kept = tuple(path for path in self.paths if path[0] not in idle)
        if not kept and not subject.differentiable:
            raise SemconError(f"no path changes these images: {', '.join(idle)} leave them as they are")
        return replace(self, paths=kept, idle=idle, radii=self.radii if subject.differentiable else ())

    def passes(self, subject: Subject) -> float:
        """The plan's."""
        return self.plan.passes(gradients=subject.differentiable)

    def rehearsal(self) -> Self:
        """Itself."""
        return self

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """The balls, as `l2`, and the paths."""
        balls = (trial_record(self.plan.ball, 1),) if self.radii else ()
        return balls + tuple(trial_record(trial, self.draws) for trial in self._trials)

    def measured(self) -> Measured:
        """The steepest chords in balls, and how straight the image's and the output's ways are."""
        return replace(super().measured(), gauges=("pixels.l2", "logits.l2"), worst=bool(self.radii))

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> None:
        """One pass; no references."""
        look = SmoothRun(self.plan, subject, progress.advance)

        def parts() -> Iterator[SampleTable]:
            for batch in read(left_of(index, skip)):
                yield SampleTable.concat(list(fitting(batch, look.measure, progress.say)))

        total = self.passes(subject)
        with progress.task("smoothness", total=total * len(index.ids), done=total * len(skip)):
            keep_often(parts(), keep)

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """Distances to the boundary in words, the least straight path, and pictures of some images' surfaces."""
        return Conclusion(
            verdict=tuple(self._verdict(table)),
            maps=tuple(self._maps(subject, probe.part(slice(CANDIDATES)))),
            findings=tuple(_findings(subject)),
        )

    @property
    def _trials(self) -> tuple[Trial, ...]:
        return tuple(Trial(name, load("perturbations", name)(), (end,), end) for name, end in self.paths)

    @property
    def plan(self) -> SmoothPlan:
        """What is measured, as objects."""
        return SmoothPlan(
            paths=self._trials, segments=self.segments, draws=self.draws,
            ball=Trial(BALL, load("perturbations", BALL)(), self.radii),
            search=SearchSettings(steps=self.steps, restarts=self.restarts, best_of=1), step=self.step, seed=self.seed,
        )  # fmt: skip

    def _verdict(self, table: SampleTable) -> Iterator[str]:
        norm = _median(table.images["gradient_norm"])
        if norm:
            yield f"To first order, half of the images lie within an L2 distance of {255 / norm:.0f}/255 of a boundary."
        for radius in self.radii[-1:]:
            largest = table.rows.filter((pl.col("draws") == "worst_slope") & (pl.col("severity") == radius))
            constant = _median(largest["lipschitz"])
            if constant:
                yield (
                    f"No certificate from the Lipschitz constant of the logits within {radius:g}/255 could reach "
                    f"farther than {255 / (2**0.5 * constant):.0f}/255 for half of the images."
                )
        output, pixels = pl.col("logits.straightness"), pl.col("pixels.straightness")
        paths = table.rows.filter(output.is_not_null()).group_by("perturbation", maintain_order=True)
        found = paths.agg(output.mean(), pixels.mean()).sort("logits.straightness")
        for name, share, own in found.head(1).iter_rows():
            yield (
                f"The output's way is least straight under {words(name)}: its ends lie {share:.2f} of its length apart "
                f"(the image's own way: {own:.2f})."
            )

    def _maps(self, subject: Subject, batch: Batch) -> Iterator[MapRecord]:
        x, keys = batch.x.to(subject.device), Keys(batch.ids, self.seed, 0, "surface")
        margin = Margin.at(subject, x)
        first, second = sign_directions(margin, replace(keys, device=x.device), tuple(x.shape[1:]))
        toward = "a random sign direction" if margin.gradient is None else "down the gradient's sign"
        for row in self._pictured(subject, x, first, keys):
            values = surface(subject, x[row], (first[row], second[row]), self.reach).tolist()
            top = int(margin.top[row])
            name = str(top) if subject.classes is None else subject.classes[top] or str(top)
            yield MapRecord(
                name=f"surface_{int(batch.positions[row])}", title=f"{batch.titles[row]}, predicted {name}",
                x_label=f"{toward}, 1/255", x=(-self.reach, self.reach),
                y_label="a random sign direction, 1/255", y=(self.reach, -self.reach),
                value_label="margin of the class predicted in the middle, there 1; below 0 another is predicted",
                values=tuple(tuple(finite(value) for value in line) for line in values),
            )  # fmt: skip

    def _pictured(self, subject: Subject, x: Tensor, first: Tensor, keys: Keys) -> list[int]:
        """Rows of the images that pictures are made of: keyed, with one that flips and one that stays, if there are."""
        with torch.no_grad():
            flips = subject(x).argmax(1) != subject((x + first * (self.reach / 255)).clamp(0, 1)).argmax(1)
        order = keys.bits("rank").argsort(stable=True)
        chosen = order[:PICTURES].tolist()
        for wanted in (True, False):
            rest = [row for row in order[PICTURES:].tolist() if bool(flips[row]) is wanted]
            if rest and not any(bool(flips[row]) is wanted for row in chosen):
                chosen[-1] = rest[0]
        return chosen


def _median(values: pl.Series) -> float | None:
    """As the estimates have it: the smallest value that half do not exceed."""
    found = values.drop_nulls().quantile(0.5, "lower")
    return None if found is None else float(found)


def _findings(subject: Subject) -> Iterator[Finding]:
    if not subject.differentiable:
        yield Finding(
            code="smoothness-without-gradients", severity="note",
            message="the model has no gradients: of smoothness only the paths were measured, no slopes, no curvature",
            remedy="give the network itself (a file, timm, torchvision) to have them",
        )  # fmt: skip
    if subject.precision != "32":
        yield Finding(
            code="smoothness-in-half-precision", severity="warning",
            message=f"differences of outputs and of gradients were taken at {subject.precision} precision: rounding "
            "makes straight paths look bent",
            remedy="audit smoothness with --precision 32",
        )  # fmt: skip
