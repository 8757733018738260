"""The settings of one audit, from text: what was given, and whether the evaluations asked for read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import available
from semcon.recipes.trials import BUDGETS, Budget, BudgetName


class AuditRecipe(BaseModel):
    """The settings of one audit, validated. Names as the flags of `semcon audit`."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    weights: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = Field(default=None, ge=8, le=4096)
    masks: str | None = None
    classes: tuple[str, ...] | None = None
    perturbations: tuple[str, ...] = ()
    layers: tuple[str, ...] | None = None
    gauges: tuple[str, ...] | None = None
    draws: int | None = Field(default=None, ge=1, le=1000)
    worst: Literal["none", "search"] | None = None
    evaluate: tuple[str, ...] = ("continuity",)
    eps: tuple[float, ...] | None = None
    autoattack: bool = False
    explanations: tuple[str, ...] | None = None
    groups: str | None = None
    transfer_to: Any = None
    transfer_layer: str | None = None
    shots: tuple[int, ...] | None = None
    reference: Any = None
    budget: BudgetName = "fast"
    limit: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    device: str = "auto"
    precision: Literal["32", "bf16", "16"] = "32"
    workers: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    gradient_norm: bool = True
    critical: bool | None = None
    skip_bad: bool = False
    resume: bool = False

    @property
    def allowance(self) -> Budget:
        """The budget with single settings overridden."""
        budget = BUDGETS[self.budget]
        changes = {"limit": self.limit, "draws": self.draws, "worst": self.worst, "critical": self.critical}
        return budget.model_copy(update={key: value for key, value in changes.items() if value is not None})


def recipe(settings: Mapping[str, object]) -> AuditRecipe:
    """Settings by name, validated. Errors: `SemconError` naming the setting, what came and what is expected."""
    try:
        return AuditRecipe.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][:1])
        if first["type"] == "extra_forbidden":
            raise UnknownNameError("setting", name, AuditRecipe.model_fields) from None
        raise SemconError(f"{name.replace('_', '-')}: {first['msg'].lower()}, got {first['input']!r}") from None


_OF = {
    ("continuity", "explanation_stability"): ("perturbations",),
    ("continuity",): ("draws", "worst", "layers", "gauges", "critical"),
    ("adversarial",): ("eps", "autoattack"),
    ("group_gap",): ("groups",),
    ("axis_meaning",): ("reference",),
    ("transfer",): ("transfer_to", "transfer_layer", "shots"),
    ("explanation_stability", "explanation_faithfulness", "explanation_focus"): ("explanations",),
}
"""Settings that these evaluations read alone."""


def check_settings(settings: AuditRecipe) -> None:
    """Errors: `SemconError` for a setting that none of the evaluations reads."""
    for evaluations, names in _OF.items():
        given = [name for name in names if getattr(settings, name) != AuditRecipe.model_fields[name].default]
        if given and not set(evaluations) & set(settings.evaluate):
            flag = "perturb" if given[0] == "perturbations" else given[0].replace("_", "-")
            raise SemconError(f"--{flag} belongs to the evaluation {' or '.join(evaluations)}: add it to --evaluate")


def check_evaluations(names: Sequence[str]) -> None:
    """Errors: `UnknownNameError` for one that does not exist; `SemconError` for none, or one given twice."""
    known = available("evaluations")
    if not names:
        raise SemconError(f"name at least one evaluation, of {', '.join(known)}")
    for number, name in enumerate(names):
        if name not in known:
            raise UnknownNameError("evaluation", name, known)
        if name in names[:number]:
            raise SemconError(f"the evaluation {name} was given twice")


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    """`a,b` -> names."""
    return tuple(one.strip() for one in names.split(",")) if isinstance(names, str) else tuple(names)


def several(names: str | Sequence[str]) -> tuple[str, ...]:
    """A name alone is one, not its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def sizes(eps: str | Sequence[float] | float | None) -> tuple[float, ...] | None:
    """`1,2,8` -> sizes of attacks in 1/255. Errors: `SemconError` for what is none, or was meant as a share of 1."""
    from semcon.attacking.eps import eps_ladder

    if eps is None:
        return None
    parts: Sequence[Any] = eps.split(",") if isinstance(eps, str) else [eps] if isinstance(eps, int | float) else eps
    if not parts:
        raise SemconError("--eps expects sizes in 1/255 such as 1,2,8, got none")
    try:
        return eps_ladder([float(part) for part in parts])
    except (TypeError, ValueError):
        raise SemconError(f"--eps expects sizes in 1/255 such as 1,2,8, got {eps!r}") from None


def shots_of(shots: str | Sequence[int] | None) -> tuple[int, ...] | None:
    """`1,5` -> images a class. Errors: `SemconError` for what is no positive whole number."""
    if shots is None:
        return None
    parts: Sequence[Any] = shots.split(",") if isinstance(shots, str) else shots
    try:
        found = tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        found = ()
    if not found or min(found) < 1:
        raise SemconError(f"--shots expects images a class such as 1,5,10, got {shots!r}")
    return found


def pairs(texts: tuple[str, ...] | None) -> tuple[tuple[str, str], ...] | None:
    """`probabilities.kl` -> representation and distance. Errors: `SemconError` for text without a dot."""
    return None if texts is None else tuple(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, str]:
    representation, dot, distance = text.rpartition(".")
    if not dot:
        raise SemconError(f"expected REPRESENTATION.DISTANCE such as probabilities.kl, got {text!r}")
    return representation, distance
