"""Explanation stability: does the explanation stay while the image changes without changing its meaning?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from semcon.core.concepts import Explanation
from semcon.core.errors import SemconError
from semcon.core.measured import Measured
from semcon.core.registry import file_name, load
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Setting, TrialEvaluation
from semcon.explaining.choosing import as_settings, chosen, settled
from semcon.explaining.pictures import pictures
from semcon.explaining.stability import SCOPE, Steadiness, columns
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.trial_run import Besides, Clean
from semcon.progress import Progress
from semcon.report.numbers import percent, words
from semcon.subject import Subject

FEW = ("brightness", "gaussian_noise", "rotation")
MORE = ("brightness", "hue", "gaussian_noise", "gaussian_blur", "rotation", "translation")


@dataclass(frozen=True)
class ExplanationStability(TrialEvaluation):
    """The maps of an image and of its copies, likened; beside the output's own change on the same draws.

    Both maps explain the class predicted on the untouched image; geometry carries the first along.
    """

    question: ClassVar[str] = (
        "Does the explanation stay where it was while the image changes without changing its meaning?"
    )

    version: ClassVar[int] = 3

    explanations: tuple[Explanation, ...] = ()
    asked: bool = False

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """The perturbations that the user named; else three or six at one severity, with the full budget six at two.

        As far as images bear.
        """
        names = FEW if setting.budget == "fast" else MORE
        rungs = (1, 3) if setting.budget == "full" else (2,)
        trials = list(setting.trials)
        for name in () if trials else names:
            one, limit = load("perturbations", name)(), setting.limits.get(name, float("inf"))
            severities = dict.fromkeys(min(float(one.ladder[min(rung, len(one.ladder) - 1)]), limit) for rung in rungs)
            if min(severities) > 0:
                trials.append(Trial(name, one, tuple(severities), limit))
        if not trials:
            raise SemconError("these images bear none of the perturbations that explanation_stability tries")
        plan = Plan(
            tuple(trials), (), draws=3 if setting.budget == "full" else 1, seed=setting.seed, gradient_norm=False
        )
        explanations = chosen(setting.explanations, setting.budget, gradients=setting.gradients)
        return cls(plan, explanations=explanations, asked=setting.explanations is not None)

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """With explanations that know their layer."""
        found = settled(self.explanations, subject, asked=self.asked)
        return replace(super().settled(subject, probe), explanations=found)

    def settings(self) -> dict[str, Any]:
        """The explanations by their own settings, layers apart."""
        return super().settings() | as_settings(self.explanations)

    def measured(self) -> Measured:
        """With the explanations as gauges."""
        own = super().measured()
        return replace(own, gauges=(*own.gauges, *(file_name(type(one)) for one in self.explanations)))

    def passes(self, subject: Subject) -> float:
        """The plan's, and every map's."""
        copies = sum(len(one.severities) * one.draws(self.plan.draws) for one in self.plan.trials)
        return super().passes(subject) + (1 + copies) * sum(one.passes for one in self.explanations)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every likeness, method by method."""
        return columns(self.explanations)

    def besides(self, subject: Subject, progress: Progress) -> Callable[[Clean], Besides]:
        """The maps of the untouched images, and what compares copies with them."""

        def at(clean: Clean) -> Besides:
            keys = Keys(clean.ids, self.plan.seed, 0, SCOPE, clean.x.device)
            return Steadiness.at(subject, self.explanations, clean.x, clean.prediction, keys, progress.advance)

        return at

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """How often the explanation moves though the prediction does not, where that is commonest."""
        shown = pictures(subject, self.explanations, self.plan.trials, probe, self.plan.seed)
        return Conclusion(verdict=tuple(self._verdict(table)), pictures=tuple(shown))

    def _verdict(self, table: SampleTable) -> Iterator[str]:
        figures = [one for one in summarise(table, seed=self.plan.seed) if one.subset == "all" and one.mean is not None]
        told: list[str] = []
        for one in self.explanations:
            method = file_name(type(one))
            moved = [e for e in figures if e.quantity == "moved" and e.representation == method]
            if not moved:
                continue
            top = max(moved, key=lambda e: e.mean or 0)
            if not top.mean:
                told.append(f"{words(method)} never (at most {percent(max(e.high or 0 for e in moved))})")
                continue
            told.append(
                f"{words(method)} under {words(top.perturbation or '')} at {top.severity:g}, for {percent(top.mean)} "
                f"[{percent(top.low)}, {percent(top.high)}] of the images"
            )
        if told:
            yield (
                "How often, at most, a map moves though the prediction stays, so that fewer than half of its most "
                f"important tenth of the pixels are still the most important ones: {'; '.join(told)}."
            )
