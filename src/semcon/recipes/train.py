"""`semcon train`: a TOML recipe or flags to a trained network; the Python door `semcon.train`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import load
from semcon.progress import Progress, Silent
from semcon.recipes.audit import numbers, parse_data, parse_model, read_classes

if TYPE_CHECKING:
    from semcon.alpha import Alpha
    from semcon.core.concepts import Objective
    from semcon.core.training_record import NetworkRecord
    from semcon.neighbourhood import Neighbourhood
    from semcon.training import Settings

Numbers = tuple[float, ...] | None


class TrainRecipe(BaseModel):
    """The settings of one training run, validated. Names as the flags of `semcon train` and the keys of a recipe.

    `wish`: alpha is not a number then but found: `gaussian_noise:0.2 relative_change <= 0.2`, or `accuracy >= -0.5`,
    in points against the network of the run `baseline`; looked at `looks` times on a `select` share of the images,
    which is not trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    model: Any
    data: Any
    weights: str | None = None
    mean: Numbers = None
    std: Numbers = None
    size: int | None = Field(default=None, ge=8, le=4096)
    classes: str | None = None
    limit: int | None = Field(default=None, ge=1)
    skip_bad: bool = False
    objective: str = "continuity"
    perturb: tuple[str, ...] = ()
    alpha: float | None = Field(default=None, ge=0)
    strength: float = Field(default=1.0, gt=0)
    search_steps: int = Field(default=10, ge=1)
    representation: tuple[str, ...] = ("logits",)
    distance: tuple[str, ...] = ("l2",)
    severities: Literal["uniform", "fixed"] = "uniform"
    combine: Literal["one", "chain"] = "one"
    worst_of: int = Field(default=1, ge=1)
    ascent_steps: int = Field(default=0, ge=0)
    relative: bool | None = None
    stop_gradient: bool = False
    share: float = Field(default=1.0, gt=0, le=1)
    ramp: float = Field(default=0.3, ge=0, le=1)
    wish: tuple[str, ...] = ()
    select: float = Field(default=0.1, gt=0, lt=1)
    looks: int = Field(default=12, ge=1)
    baseline: str | None = None
    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=128, ge=2)
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["cosine", "one_cycle"] = "one_cycle"
    clip: float | None = Field(default=None, gt=0)
    average: float | None = Field(default=None, gt=0, lt=1)
    augment: tuple[str, ...] = ()
    precision: Literal["32", "bf16", "16"] = "32"
    device: str = "auto"
    devices: int = Field(default=1, ge=1)
    compile: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)
    workers: int | None = Field(default=None, ge=1)


LISTS = ("perturb", "augment", "representation", "distance", "wish")


Recipe = TypeVar("Recipe", bound=BaseModel)


def validated(kind: type[Recipe], settings: dict[str, Any]) -> Recipe:
    """A recipe from its keys: one value stands for a list of one, text for numbers.

    Errors: `UnknownNameError` for a key that does not exist; `SemconError` naming the key, what came and what is
    expected.
    """
    plain: dict[str, Any] = {
        key: [value] if key in LISTS and isinstance(value, str) else value for key, value in settings.items()
    }
    for key in ("mean", "std"):
        if plain.get(key) is not None:
            plain[key] = numbers(plain[key], key)
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise UnknownNameError("setting", name, kind.model_fields) from None
        if first["type"] == "missing":
            raise SemconError(f"the recipe names no {name}: expected {name} = ... or --{name}") from None
        raise SemconError(f"{name.replace('_', '-')}: {first['msg'].lower()}, got {first['input']!r}") from None


def train_recipe(settings: dict[str, Any]) -> TrainRecipe:
    """A validated recipe. Errors: as `validated`."""
    return validated(TrainRecipe, settings)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The keys of a TOML recipe. Errors: `SemconError` for what cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SemconError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SemconError(f"{path} is no TOML file: {error}") from None


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` each, values as in TOML, else text. Errors: `SemconError` for what has no `=`."""
    found: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise SemconError(f"expected KEY=VALUE, got {text!r}")
        try:
            found[key.strip().replace("-", "_")] = tomllib.loads(f"value = {value.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip().replace("-", "_")] = value.strip()
    return found


def parse_neighbourhood(texts: tuple[str, ...], recipe: TrainRecipe) -> Neighbourhood:
    """`name[:limit]` each; without a limit the fourth rung of the default ladder."""
    from semcon.neighbourhood import Neighbourhood

    names, limits = zip(*(perturbation_limit(text) for text in texts), strict=True)
    whole = Neighbourhood.of(names, limits, severities=recipe.severities, chain=recipe.combine == "chain")
    return whole if recipe.strength == 1 else whole.scaled(recipe.strength)


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


def make_objective(recipe: TrainRecipe, steps: int, alpha: Alpha | None = None) -> Objective:
    """The objective that a recipe names; `alpha`: of a wish, in place of the number.

    Errors: `SemconError` where it needs perturbations and none are given.
    """
    from semcon.constraint import ContinuityConstraint, Options

    name = recipe.objective.replace("-", "_")
    kind = load("objectives", name)
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


KNOBS = {"continuity": "alpha", "stability_training": "alpha", "augmix": "weight", "trades": "beta"}


def train(
    recipe: TrainRecipe | dict[str, Any] | str | Path, *, out: str | Path | None = None, resume: bool = False,
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Train a classifier, with the semantic continuity constraint or another objective. Returns the run folder.

    `recipe`: a `TrainRecipe`, its keys as a dict, or a TOML file. The folder holds `weights.safetensors`,
    `training.json`, `recipe.json` and `metrics.jsonl`; `run:FOLDER` is then a model for `audit`. Errors: `SemconError`
    says what to do.
    """
    keys = read_recipe(recipe) if isinstance(recipe, str | Path) else recipe
    own = keys if isinstance(keys, TrainRecipe) else train_recipe(keys)
    folder = Path(out) if out is not None else _free_folder(own, resume=resume)
    return _run(own, folder, resume=resume, progress=progress or Silent())


def _run(recipe: TrainRecipe, out: Path, *, resume: bool, progress: Progress) -> Path:
    from semcon.built import build_subject
    from semcon.loading import scan
    from semcon.partial import check_free
    from semcon.recipes.wished_training import Wished, parse_training_wishes
    from semcon.training_run import Plan, run_training

    check_free(out, resume=resume, what="training", sign="recipe.json")
    wishes = parse_training_wishes(recipe)
    make_objective(recipe, 1)
    dataset = parse_data(recipe.data, recipe.limit)
    with progress.task("reading", total=len(dataset)):
        scanned = scan(dataset, workers=recipe.workers, skip_bad=recipe.skip_bad, advance=progress.advance)
    source = _source(recipe, dataset.classes, int(scanned.labels.max()) + 1)
    classes = None if recipe.classes is None else read_classes(recipe.classes)
    subject = build_subject(
        source.build(), mean=recipe.mean, std=recipe.std, size=recipe.size,
        classes=classes or (tuple(dataset.classes) if dataset.classes and _is_network(recipe) else None),
        device=recipe.device, precision="32", common_size=scanned.common_size, name=None,
    )  # fmt: skip
    wished = None
    if wishes:
        wished = Wished(recipe, wishes, subject, (dataset, scanned), progress)
        scanned = wished.fit
    settings = _settings(recipe, len(scanned.ids))
    plan = Plan(
        lambda _: make_objective(recipe, settings.steps, None if wished is None else wished.alpha), settings,
        network_record(source), plain(recipe) | {"steps": settings.steps}, out, resume=resume,
        classes_given=classes is not None, workers=recipe.workers,
        observer=None if wished is None else partial(wished.watcher, settings.steps),
    )  # fmt: skip
    folder = run_training(subject, dataset, scanned, plan, progress)
    if wished is not None:
        wished.conclude(folder)
    return folder


def plain(recipe: BaseModel) -> dict[str, Any]:
    """A recipe as JSON; Python objects by what they call themselves."""
    return {name: _text(value) for name, value in recipe}


def _text(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_text(part) for part in cast("tuple[Any, ...]", value)]
    return value if isinstance(value, str | int | float | None) else str(getattr(value, "source", type(value).__name__))


def _is_network(recipe: TrainRecipe) -> bool:
    return isinstance(recipe.model, str) and recipe.model.startswith("network:")


def _source(recipe: TrainRecipe, classes: Any, labels: int) -> Any:
    """The model source; semcon's own networks get as many outputs as the data have classes, and the run's seed."""
    if not _is_network(recipe):
        return parse_model(recipe.model, recipe.weights)
    name = recipe.model.partition(":")[2]
    count = len(classes) if classes is not None else labels
    return load("models", "network")(name if "/" in name else f"{name}/{max(2, count)}", recipe.weights, recipe.seed)


def network_record(source: Any) -> NetworkRecord:
    """How a model source is built again, its weights apart."""
    from semcon.core.training_record import NetworkRecord, read_training

    kind = type(source).__name__.lower()
    if kind == "module":
        return NetworkRecord(kind=kind, fields={"model": type(source.model).__name__})
    if kind == "run":  # built as that run's network was: the new run does not need the old one
        return read_training(Path(source.path)).network
    fields: dict[str, Any] = asdict(source) | {"weights": None}
    if kind == "file":
        fields["path"] = str(Path(str(fields["path"])).resolve())
    if kind in ("timm", "torchvision"):
        fields["weights"] = "none"
    return NetworkRecord(kind=kind, fields=fields)


def _settings(recipe: TrainRecipe, images: int) -> Settings:
    from semcon.training import Settings

    if recipe.steps is not None and recipe.epochs is not None:
        raise SemconError("give --steps or --epochs, not both")
    batch = min(recipe.batch_size, images)
    per_epoch = max(1, images // batch)
    steps = recipe.steps or max(1, round((recipe.epochs or 10) * per_epoch))
    kind, _, number = recipe.device.partition(":")
    return Settings(
        steps, batch, recipe.optimizer, recipe.learning_rate, recipe.weight_decay, recipe.schedule, recipe.clip,
        recipe.average, tuple(perturbation_limit(text) for text in recipe.augment), recipe.precision,
        accelerator=kind, devices=(int(number),) if number.isdigit() else recipe.devices, compile=recipe.compile,
        seed=recipe.seed,
    )  # fmt: skip


def _free_folder(recipe: TrainRecipe, *, resume: bool) -> Path:
    from semcon.recipes.audit import default_folder

    return default_folder(
        recipe.model, recipe.data, f"{recipe.objective}-{recipe.model.rpartition(':')[2]}", resume=resume
    )
