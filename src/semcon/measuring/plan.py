"""What is measured: perturbations with their severities, gauges, draws, searches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from semcon.core.concepts import Gauge, Perturbation
from semcon.search import SearchSettings, searchable

PRIMARY = "logits.l2"


@dataclass(frozen=True)
class Trial:
    """One perturbation with the severities it is tried at. `limit`: the highest that these images bear."""

    name: str
    perturbation: Perturbation
    severities: tuple[float, ...]
    limit: float = math.inf

    @property
    def ladder(self) -> tuple[float, ...]:
        """The default severities up to the limit: what the critical severity is looked for on."""
        return tuple(severity for severity in self.perturbation.ladder if severity <= self.limit)

    def draws(self, wanted: int) -> int:
        """One where there is nothing to draw."""
        return 1 if self.perturbation.parameters == "fixed" else wanted


@dataclass(frozen=True)
class Plan:
    """What is measured: the settings that rows depend on, and nothing about devices or batches."""

    trials: tuple[Trial, ...]
    gauges: tuple[Gauge, ...]
    draws: int = 1
    seed: int = 0
    worst: SearchSettings | None = None
    critical: bool = False
    gradient_norm: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose outputs the gauges read."""
        return tuple(dict.fromkeys(layer for gauge in self.gauges for layer in gauge.representation.layers))

    @property
    def primary(self) -> Gauge:
        """The gauge that the worst case is searched on: centred logits, L2."""
        return next(gauge for gauge in self.gauges if gauge.name == PRIMARY)

    def search_passes(self, trial: Trial, *, gradients: bool) -> float:
        """Forward passes per image of one search at one severity."""
        if self.worst is None or trial.perturbation.parameters == "fixed":
            return 0.0
        climbs = gradients and searchable(trial.perturbation)
        more = max(0, self.worst.best_of - self.draws)
        return 1.0 + (self.worst.restarts * (3 * self.worst.steps + 1) if climbs else more)

    def copies(self, trial: Trial, *, gradients: bool) -> float:
        """Forward passes per image for one perturbation, a backward pass counted as two."""
        draws = trial.draws(self.draws)
        total = draws * len(trial.severities)
        total += 2 * len(trial.severities) * self.search_passes(trial, gradients=gradients)
        if self.critical:
            total += draws * len(set(trial.ladder) - set(trial.severities))
            total += 5 if trial.perturbation.kind == "continuous" else 1
        return total

    def passes(self, *, gradients: bool) -> float:
        """The same for all of them and the untouched image: what the time estimate rests on."""
        clean = 3.0 if self.gradient_norm and gradients else 1.0
        return clean + sum(self.copies(trial, gradients=gradients) for trial in self.trials)
