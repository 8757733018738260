"""Semantic continuity: how far does the output move under changes that carry no meaning?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from semcon.core.concepts import Gauge
from semcon.core.registry import available, load
from semcon.evaluating import Setting, TrialEvaluation
from semcon.measuring.gauges import choose_gauges
from semcon.measuring.plan import Plan, Trial
from semcon.subject import Subject


@dataclass(frozen=True)
class Continuity(TrialEvaluation):
    """The plan's perturbations, at their severities and draws.

    `layers`: module names to look at; None chooses stages of the network. `pairs`: (representation, distance) in place
    of the usual ones.
    """

    question: ClassVar[str] = "How far does the output move under changes that carry no meaning?"

    layers: tuple[str, ...] | None = None
    pairs: tuple[tuple[str, str], ...] | None = None

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Every perturbation of an audit at its own ladder, one draw."""
        known = {name: load("perturbations", name)() for name in available("perturbations")}
        limits = {name: setting.limits.get(name, float("inf")) for name in known}
        trials = [
            Trial(name, one, tuple(s for s in one.ladder if 0 < s <= limits[name]), limits[name])
            for name, one in known.items()
            if one.default
        ]
        return cls(Plan(tuple(trial for trial in trials if trial.severities), (), seed=setting.seed))

    def gauges(self, subject: Subject) -> Sequence[Gauge]:
        """Pixels, stages of the network, features, centred logits and probabilities."""
        return choose_gauges(subject, self.layers, self.pairs)
