"""Common corruptions: how much accuracy is left under the published ones, and how predictions flicker in sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import polars as pl

from semcon.core.measured import Measured
from semcon.core.profile import profile
from semcon.core.record import ProfileRow
from semcon.core.registry import load
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Setting, TrialEvaluation
from semcon.loading import Batch
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.sequences import SEQUENCES, frame_rows
from semcon.progress import Progress
from semcon.published import COMMON, EXTRA, ladder
from semcon.report.numbers import counted, interval, number, words
from semcon.subject import Subject

_LEVELS = {"fast": (1, 3, 5), "standard": (1, 2, 3, 4, 5), "full": (1, 2, 3, 4, 5)}
_FRAMES = {"fast": 0, "standard": 31, "full": 31}


@dataclass(frozen=True)
class Corruption(TrialEvaluation):
    """The 15 common corruptions at their published levels (all 19 with the full budget), one draw each; sequences.

    `frames`: of every sequence; 0 leaves them out. The mean corruption error and the flip rate of one model over those
    of another are `semcon compare`'s. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    question: ClassVar[str] = "How much accuracy is left under common corruptions?"
    version: ClassVar[int] = 3

    frames: int = 0

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Fast: levels 1, 3, 5. Standard: all five, and sequences of 31 frames. Full: the four extra ones too."""
        names = [*COMMON, *(EXTRA if setting.budget == "full" else ())]
        trials: list[Trial] = []
        for name in names:
            perturbation, severities = ladder(name, setting.height)
            chosen = tuple(severities[level - 1] for level in _LEVELS[setting.budget])
            trials.append(Trial(perturbation, load("perturbations", perturbation)(), chosen))
        plan = Plan(tuple(trials), (), seed=setting.seed, gradient_norm=False)
        return cls(plan, frames=_FRAMES[setting.budget])

    def passes(self, subject: Subject) -> float:
        """The plan's, and every frame of the sequences."""
        return super().passes(subject) + self.frames * len(SEQUENCES) * bool(self.frames)

    def measured(self) -> Measured:
        """The sequences too."""
        return replace(super().measured(), sequences=[one.name for one in SEQUENCES] if self.frames else ())

    def more(self, subject: Subject, progress: Progress) -> Callable[[Batch], pl.DataFrame] | None:
        """The frames of the sequences."""
        if not self.frames:
            return None
        return lambda batch: frame_rows(subject, batch, SEQUENCES, self.frames, self.plan.seed, progress.advance)

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """Accuracy over all of them, and which takes most."""
        names = [trial.name for trial in self.plan.trials]
        together = profile(table, dict.fromkeys(names, "all"), seed=self.plan.seed)
        each = profile(table, {name: name for name in names}, seed=self.plan.seed)
        quantity = "accuracy" if table.labelled else "flip"
        overall = next(row for row in together if row.quantity == quantity)
        worst = sorted((row for row in each if row.quantity == quantity), key=_mean, reverse=not table.labelled)[:3]
        what = "accuracy" if table.labelled else "the share of changed predictions"
        suffer = ", ".join(f"{words(row.family)} ({number(row.mean)})" for row in worst)
        alike = len({row.mean for row in each if row.quantity == quantity}) == 1
        return Conclusion((
            f"Over {counted(len(names), 'corruption')} and their levels {what} is {number(overall.mean)} "
            f"{interval(overall.low, overall.high, overall.mean)}{'' if alike else f'; hardest are {suffer}'}.",
        ))  # fmt: skip


def _mean(row: ProfileRow) -> float:
    return math.inf if row.mean is None else row.mean
