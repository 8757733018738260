"""`semcon train`: a TOML recipe or flags to a trained network; the Python door `semcon.train`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.progress import Progress, Silent
from semcon.recipes.keys import plain, read_recipe, validated
from semcon.recipes.objectives import make_objective
from semcon.recipes.sources import parse_data, parse_model, read_classes
from semcon.recipes.trials import perturbation_limit

if TYPE_CHECKING:
    from semcon.core.training_record import NetworkRecord
    from semcon.training.settings import Settings

Numbers = tuple[float, ...] | None


class TrainRecipe(BaseModel):
    """The settings of one training run, validated. Names as the flags of `semcon train` and the keys of a recipe.

    `wish`: alpha is not a number then but found: `gaussian_noise:0.2 relative_change <= 0.2`, or `accuracy >= -0.5`,
    in points against the network of the run `baseline`; looked at `looks` times on a `select` share of the images (a
    tenth), which is not trained on. `select` without a wish holds the same images out, so that such a run can be the
    baseline of another.
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
    select: float | None = Field(default=None, gt=0, lt=1)
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


def train_recipe(settings: dict[str, Any]) -> TrainRecipe:
    """A validated recipe. Errors: as `validated`."""
    return validated(TrainRecipe, settings)


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
    from semcon.recipes.wished_training import HeldOut, Wished, parse_training_wishes
    from semcon.training.run import Plan, run_training

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
    images, wished = scanned.fingerprint, None
    if wishes or recipe.select is not None:
        held = HeldOut(recipe, scanned)
        wished = Wished(recipe, wishes, subject, (dataset, held), progress) if wishes else None
        scanned = held.fit
    settings = _settings(recipe, len(scanned.ids))
    plan = Plan(
        lambda _: make_objective(recipe, settings.steps, None if wished is None else wished.alpha), settings,
        network_record(source), plain(recipe) | {"steps": settings.steps, "images": images}, out, resume=resume,
        classes_given=classes is not None, workers=recipe.workers,
        observer=None if wished is None else partial(wished.watcher, settings.steps),
        concluding=None if wished is None else wished.conclude,
    )  # fmt: skip
    return run_training(subject, dataset, scanned, plan, progress)


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
    from semcon.training.settings import Settings

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
    from semcon.recipes.sources import default_folder

    def named(source: Any) -> str:
        return source if isinstance(source, str) else type(source).__name__

    model = named(recipe.model)
    return default_folder(model, named(recipe.data), f"{recipe.objective}-{model.rpartition(':')[2]}", resume=resume)
