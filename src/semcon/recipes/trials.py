"""Text to perturbations with the severities they are tried at, and how much a budget measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from semcon.core.errors import SemconError
from semcon.core.registry import available, load

if TYPE_CHECKING:
    from semcon.measuring.plan import Trial

BudgetName = Literal["fast", "standard", "full"]


class Budget(BaseModel):
    """How much is measured: images, rungs of each ladder, draws, searches."""

    model_config = ConfigDict(frozen=True)
    limit: int | None
    rungs: tuple[int, ...]
    draws: int
    worst: Literal["none", "search"]
    critical: bool


BUDGETS: dict[str, Budget] = {
    "fast": Budget(limit=500, rungs=(0, 2, 4), draws=1, worst="none", critical=False),
    "standard": Budget(limit=2000, rungs=(0, 1, 2, 3, 4), draws=3, worst="none", critical=True),
    "full": Budget(limit=None, rungs=(0, 1, 2, 3, 4), draws=10, worst="search", critical=True),
}


def parse_trials(texts: Sequence[str], budget: Budget, limits: dict[str, float]) -> tuple[Trial, ...]:
    """`name[:severity[/severity...]]` each, or those that are tried by default; ladders thinned by the budget.

    `limits`: severities that these data allow (digits: no flips, rotations up to 15 degrees); they bound the ladders,
    not what was asked for by name and severity.
    """
    trials: dict[str, Trial] = {}
    for text in texts or _defaults():
        trial = _parse_trial(text, budget, {} if texts else limits)
        if trial is None:
            continue
        if trial.name in trials:
            raise SemconError(f"perturbation {trial.name!r} was given twice: list its severities as NAME:0.1/0.2")
        trials[trial.name] = trial
    return tuple(trials.values())


def _defaults() -> list[str]:
    """All perturbations but the published corruptions, which are measured when they are named."""
    return [name for name in available("perturbations") if load("perturbations", name).default]


def _parse_trial(text: str, budget: Budget, limits: dict[str, float]) -> Trial | None:
    from semcon.measuring.plan import Trial

    name, colon, rest = text.strip().partition(":")
    name = name.replace("-", "_")
    perturbation, limit = load("perturbations", name)(), limits.get(name, math.inf)
    if colon:
        try:
            severities = tuple(sorted({perturbation.check_severity(float(part)) for part in rest.split("/")}))
        except ValueError:
            raise SemconError(f"severity of {name} must be a number as in {name}:0.1/0.2, got {rest!r}") from None
    else:
        ladder = perturbation.ladder
        severities = tuple(ladder[rung] for rung in budget.rungs) if len(ladder) == 5 else ladder
        severities = tuple(severity for severity in severities if severity <= limit)
    severities = tuple(severity for severity in severities if severity > 0)
    if not severities:
        if colon:
            raise SemconError(f"{name}:{rest} has no severity above 0: severity 0 is the untouched image")
        return None
    return Trial(name, perturbation, tuple(float(severity) for severity in severities), limit)


def perturbation_limit(text: str) -> tuple[str, float]:
    """`NAME[:LIMIT]` -> name and limit, the fourth rung of the ladder without."""
    name, colon, rest = text.strip().partition(":")
    name = name.replace("-", "_")
    perturbation = load("perturbations", name)()
    if not colon:
        return name, float(perturbation.ladder[min(3, len(perturbation.ladder) - 1)])
    try:
        return name, perturbation.check_severity(float(rest))
    except ValueError:
        raise SemconError(f"the limit of {name} must be a number as in {name}:0.2, got {rest!r}") from None
