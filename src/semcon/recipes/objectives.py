"""The objective that the settings of a training name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.recipes.trials import perturbation_limit

if TYPE_CHECKING:
    from semcon.alpha import Alpha
    from semcon.core.concepts import Objective
    from semcon.neighbourhood import Neighbourhood
    from semcon.recipes.train import TrainRecipe


def parse_neighbourhood(texts: tuple[str, ...], recipe: TrainRecipe) -> Neighbourhood:
    """`name[:limit]` each; without a limit the fourth rung of the default ladder."""
    from semcon.neighbourhood import Neighbourhood

    names, limits = zip(*(perturbation_limit(text) for text in texts), strict=True)
    whole = Neighbourhood.of(names, limits, severities=recipe.severities, chain=recipe.combine == "chain")
    return whole if recipe.strength == 1 else whole.scaled(recipe.strength)


def make_objective(recipe: TrainRecipe, steps: int, alpha: Alpha | None = None) -> Objective:
    """The objective that a recipe names; `alpha`: of a wish, in place of the number.

    Errors: `SemconError` where it needs perturbations and none are given.
    """
    from semcon.constraint import ContinuityConstraint, Options

    name = recipe.objective.replace("-", "_")
    kind = load("objectives", name)
    if name not in READ:
        raise SemconError(f"{name} is what `semcon repair` minimises: expected one of {', '.join(READ)}")
    _check_read(recipe, name)
    if name == "cross_entropy":
        return kind()
    if not recipe.perturb:
        raise SemconError(f"the objective {name} needs perturbations: --perturb gaussian_noise:0.2 (repeatable)")
    near = parse_neighbourhood(recipe.perturb, recipe)
    weight = {} if recipe.alpha is None else {KNOBS[name]: recipe.alpha} if name in KNOBS else {}
    if name == "continuity":
        options = Options(
            worst_of=recipe.worst_of, ascent_steps=recipe.ascent_steps, relative=recipe.relative,
            stop_gradient=recipe.stop_gradient, share=recipe.share, ramp=round(recipe.ramp * steps),
        )  # fmt: skip
        constraint = ContinuityConstraint(
            near, recipe.distance * len(recipe.representation) if len(recipe.distance) == 1 else recipe.distance,
            recipe.representation,
            options=options, seed=recipe.seed,
        )  # fmt: skip
        return kind(constraint, **(weight if alpha is None else {"alpha": alpha}))
    if name == "augmentation":
        return kind(near, share=recipe.share)
    if name == "trades":
        return kind(near, steps=recipe.search_steps, **weight)
    return kind(near, **weight)


def _check_read(recipe: TrainRecipe, name: str) -> None:
    """Errors: `SemconError` for a setting that was given and that this objective does not read."""
    given = {key for key in recipe.model_fields_set if getattr(recipe, key) not in (None, ())}
    ignored = sorted(given & set[str]().union(*READ.values()) - READ.get(name, given))
    if ignored:
        readers = [other for other, keys in READ.items() if ignored[0] in keys]
        raise SemconError(f"{name} does not read {ignored[0]}: leave it out (it is of {', '.join(readers)})")


NEAR = {"perturb", "severities", "combine", "strength"}
READ = {
    "cross_entropy": {"perturb"},  # one recipe, other objectives
    "augmentation": {*NEAR, "share"},
    "continuity": {
        *NEAR, "alpha", "share", "ramp", "worst_of", "ascent_steps", "relative", "stop_gradient", "representation",
        "distance",
    },
    "stability_training": {*NEAR, "alpha"},
    "augmix": {*NEAR, "alpha"},
    "trades": {*NEAR, "alpha", "search_steps"},
}  # fmt: skip
KNOBS = {"continuity": "alpha", "stability_training": "alpha", "augmix": "weight", "trades": "beta"}
