"""Shortcuts: does the model go by shape, texture, colour or background?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from semcon.core.kept import accuracy_kept
from semcon.core.registry import load
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Setting, TrialEvaluation
from semcon.loading import Batch
from semcon.measuring.plan import Plan, Trial
from semcon.report.listening import sentences
from semcon.subject import Subject

_TRIALS = {"patch_shuffle": (2.0, 4.0, 8.0), "silhouette": (1.0,), "grayscale": (1.0,), "background_swap": (1.0,)}


@dataclass(frozen=True)
class Shortcut(TrialEvaluation):
    """Shuffled cells and grey images; silhouettes and other backgrounds where the data set says where the object is.

    One draw each, whatever the budget. Sources: Geirhos et al., arXiv 1811.12231 and 2004.07780.
    """

    question: ClassVar[str] = "Does the model go by shape, texture, colour or background?"

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Those that the data have what it takes for."""
        known = {name: load("perturbations", name)() for name in _TRIALS}
        trials = tuple(
            Trial(name, one, _TRIALS[name]) for name, one in known.items() if setting.masks or not one.needs_mask
        )
        return cls(Plan(trials, (), seed=setting.seed, gradient_norm=False))

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """What share of accuracy is left."""
        kept = accuracy_kept(table, seed=self.plan.seed)
        return Conclusion(sentences(kept), estimates=tuple(kept))
