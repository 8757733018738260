"""User text to objects: the only place that parses flags and names, and the Python door `semcon.audit`."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import available, load
from semcon.gate import Rule, check_rules
from semcon.progress import Progress, Silent

if TYPE_CHECKING:
    from semcon.core.concepts import Dataset
    from semcon.measure import Plan, Trial
    from semcon.run_record import RunRecord

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


class AuditRecipe(BaseModel):
    """The settings of one audit, validated. Names as the flags of `semcon audit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    weights: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = Field(default=None, ge=8, le=4096)
    classes: tuple[str, ...] | None = None
    perturbations: tuple[str, ...] = ()
    layers: tuple[str, ...] | None = None
    gauges: tuple[str, ...] | None = None
    draws: int | None = Field(default=None, ge=1, le=1000)
    worst: Literal["none", "search"] | None = None
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


def numbers(text: str | Sequence[float] | float | None, name: str) -> tuple[float, ...] | None:
    """`.485,.456,.406` -> three floats; one value stands for all channels."""
    if text is None:
        return None
    parts: Sequence[Any] = (
        text.split(",") if isinstance(text, str) else [text] if isinstance(text, int | float) else list(text)
    )
    try:
        values = tuple(float(part) for part in parts)
    except (ValueError, TypeError):
        raise SemconError(f"--{name} expects numbers such as .485,.456,.406, got {text!r}") from None
    if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
        raise SemconError(f"--{name} expects one or three finite numbers, got {text!r}")
    if name == "std" and min(values) <= 0:
        raise SemconError(f"--std must be positive, got {text!r}")
    if max(values) > 1:
        divided = ",".join(f"{value / 255:.4g}" for value in values)
        raise SemconError(
            f"--{name} is on pixels in [0, 1], got {text!r}: if that is on 0..255, divide by 255: {divided}"
        )
    return values


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names of the outputs: line i (from 0) names output i."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SemconError(f"cannot read the class file {path}: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(line.strip() for line in lines)


def parse_trials(texts: Sequence[str], budget: Budget, limits: dict[str, float]) -> tuple[Trial, ...]:
    """`name[:severity[/severity...]]` each, or all perturbations; ladders thinned by the budget.

    `limits`: severities that these data allow (digits: no flips, rotations up to 15 degrees); they bound the ladders,
    not what was asked for by name and severity.
    """
    trials: dict[str, Trial] = {}
    for text in texts or available("perturbations"):
        trial = _parse_trial(text, budget, {} if texts else limits)
        if trial is None:
            continue
        if trial.name in trials:
            raise SemconError(f"perturbation {trial.name!r} was given twice: list its severities as NAME:0.1/0.2")
        trials[trial.name] = trial
    return tuple(trials.values())


def _parse_trial(text: str, budget: Budget, limits: dict[str, float]) -> Trial | None:
    from semcon.measure import Trial

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


MODEL_SOURCES = {
    "timm": "timm:NAME (or hf-hub:ORG/NAME)",
    "torchvision": "torchvision:NAME",
    "file": "file:PATH.py:BUILDER --weights FILE",
}


def parse_model(text: Any, weights: str | None) -> Any:
    """A model source, ready to `.build()`: text by its prefix, a Python module or callable as it is."""
    if not isinstance(text, str):
        return load("models", "module")(text)
    prefix, separator, rest = text.partition(":")
    if prefix == "hf-hub":
        return load("models", "timm")(text, weights=weights)
    if prefix == "file" and rest:
        path, _, builder = rest.rpartition(":")
        if not path or not builder:
            raise SemconError(f"expected file:PATH.py:BUILDER, got {text!r}")
        return load("models", "file")(path, builder, weights=weights)
    if prefix in available("models") and rest and prefix != "module":
        return load("models", prefix)(rest, weights=weights)
    forms = "; ".join(MODEL_SOURCES.values())
    if not separator and (Path(text).suffix == ".py" or Path(text).exists()):
        raise SemconError(f"{text!r} names no builder: expected file:{text}:BUILDER")
    raise SemconError(f"unknown model source {text!r}: expected {forms}")


def parse_data(data: Any, limit: int | None) -> Dataset:
    """A data set: text by its prefix, Python objects as they are; the first `limit` images."""
    from semcon.loading import as_dataset

    if not isinstance(data, str | Path):
        return as_dataset(data, limit=limit)
    text = str(data)
    prefix, separator, rest = text.partition(":")
    if separator and prefix == "builtin":
        builtins = _datasets_with("builtin")
        if rest not in builtins:
            raise UnknownNameError("builtin data set", rest, builtins)
        return builtins[rest](limit=limit)
    if separator and prefix in available("datasets"):
        kind = load("datasets", prefix)
        if hasattr(kind, "parse"):
            return kind.parse(rest, limit=limit)
    path = Path(text)
    if path.is_dir() or re.search(r"\.parquet(\?.*)?(\[\d*:\d*\])?$", text):
        return load("datasets", "folder" if path.is_dir() else "parquet").parse(text, limit=limit)
    forms = [getattr(kind, "form", f"{name}:TEXT") for name, kind in _datasets_with("parse").items()]
    forms += [f"builtin:{name}" for name in _datasets_with("builtin")]
    raise SemconError(f"unknown data {text!r}: expected {', '.join(forms[:-1])} or {forms[-1]}")


def _datasets_with(fact: str) -> dict[str, Any]:
    """The data sets with a fact: `builtin` (reached by name alone) or `parse` (by name and text)."""
    kinds = {name: load("datasets", name) for name in available("datasets")}
    return {name: kind for name, kind in kinds.items() if getattr(kind, fact, False)}


def audit(
    model: Any,
    data: Any,
    *,
    weights: str | Path | None = None,
    mean: str | Sequence[float] | float | None = None,
    std: str | Sequence[float] | float | None = None,
    size: int | None = None,
    classes: str | Path | Sequence[str] | None = None,
    perturbations: str | Sequence[str] = (),
    layers: str | Sequence[str] | None = None,
    gauges: str | Sequence[str] | None = None,
    draws: int | None = None,
    worst: Literal["none", "search"] | None = None,
    critical: bool | None = None,
    gradient_norm: bool = True,
    budget: BudgetName = "fast",
    limit: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    precision: Literal["32", "bf16", "16"] = "32",
    seed: int = 0,
    skip_bad: bool = False,
    resume: bool = False,
    out: str | Path | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    command: str = "",
    rules: Sequence[Rule] = (),
) -> RunRecord:
    """Measure how far a classifier's output moves under changes that carry no meaning.

    `model`: `timm:NAME`, `torchvision:NAME`, `file:PATH.py:BUILDER`, or an `nn.Module` or callable from the canvas
    normalised by `mean` and `std` to logits (B, K). `data`: `folder:DIR`, `parquet:FILE`, `builtin:NAME`, or images
    (N, C, H, W) in [0, 1] or uint8 with labels (N,), a Dataset, a DataLoader. `perturbations`: `"hue"`,
    `"gaussian_noise:0.05/0.1"`; all with the budget's ladder where none is named. `layers`: further outputs to look at,
    by their module names; None chooses stages of the network. `gauges`: REPRESENTATION.DISTANCE pairs
    in place of the usual ones; pixels.l2 and logits.l2 are always there.
    `out`: the run folder; without it the record lives in a temporary folder. `name`: what reports call the model.
    `rules`: of a gate that will judge the run; refused before the measurement where they speak of nothing in it.

    Returns a `RunRecord`: `.show()`, `.table()`, `.report(path)`. Errors: `SemconError` says what to do.
    """
    class_names = read_classes(classes) if isinstance(classes, str | Path) else tuple(classes) if classes else None
    settings = recipe({
        "weights": None if weights is None else str(weights), "mean": numbers(mean, "mean"), "std": numbers(std, "std"),
        "size": size, "classes": class_names, "perturbations": _several(perturbations),
        "layers": None if layers is None else _several(layers),
        "gauges": None if gauges is None else _several(gauges),
        "draws": draws, "worst": worst, "critical": critical, "gradient_norm": gradient_norm, "budget": budget,
        "limit": limit, "batch_size": batch_size, "workers": workers, "device": device, "precision": precision,
        "seed": seed, "skip_bad": skip_bad, "resume": resume,
    })  # fmt: skip
    from semcon.partial import check_free

    folder, keeper = (Path(out), None) if out is not None else _temporary_folder()
    check_free(folder, resume=resume, what="audit")
    record = _run(model, data, settings, folder, name, progress or Silent(), command, rules)
    return record if keeper is None else replace(record, keeper=keeper)


def _run(
    model: Any, data: Any, settings: AuditRecipe, out: Path, name: str | None, progress: Progress, command: str,
    rules: Sequence[Rule],
) -> RunRecord:  # fmt: skip
    from semcon.auditing import Request, run_audit
    from semcon.built import build_subject
    from semcon.loading import scan
    from semcon.measure import Plan
    from semcon.search import SearchSettings

    allowance = settings.allowance
    built = parse_model(model, settings.weights).build()
    dataset = parse_data(data, allowance.limit)
    trials = parse_trials(settings.perturbations, allowance, getattr(dataset, "severity_limits", {}))
    with progress.task("reading", total=len(dataset)):
        scanned = scan(dataset, workers=settings.workers, skip_bad=settings.skip_bad, advance=progress.advance)
    subject = build_subject(
        built, mean=settings.mean, std=settings.std, size=settings.size, classes=settings.classes,
        device=settings.device, precision=settings.precision, common_size=scanned.common_size, name=name,
    )  # fmt: skip
    plan = Plan(
        trials, gauges=(), draws=allowance.draws, seed=settings.seed,
        worst=SearchSettings() if allowance.worst == "search" else None, critical=allowance.critical,
        gradient_norm=settings.gradient_norm,
    )  # fmt: skip
    request = Request(
        plan, out, layers=settings.layers, gauges=_pairs(settings.gauges),
        classes_given=settings.classes is not None, budget=settings.budget, limit=allowance.limit,
        batch_size=settings.batch_size, workers=settings.workers, resume=settings.resume, command=command,
        accept=partial(_check_rules, rules),
    )  # fmt: skip
    try:
        return run_audit(subject, dataset, scanned, request, progress)
    finally:
        subject.release()


def _check_rules(rules: Sequence[Rule], plan: Plan) -> None:
    """Before the measurement: the rules speak of what the plan measures."""
    severities = {trial.name: trial.severities for trial in plan.trials}
    gauges = [gauge.name for gauge in plan.gauges]
    check_rules(rules, severities, gauges, worst=plan.worst is not None, critical=plan.critical)


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    """A name alone is one, not its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _pairs(texts: tuple[str, ...] | None) -> tuple[tuple[str, str], ...] | None:
    return None if texts is None else tuple(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, str]:
    representation, dot, distance = text.rpartition(".")
    if not dot:
        raise SemconError(f"expected REPRESENTATION.DISTANCE such as probabilities.kl, got {text!r}")
    return representation, distance


def _temporary_folder() -> tuple[Path, Any]:
    keeper = tempfile.TemporaryDirectory(prefix="semcon-")
    return Path(keeper.name) / "run", keeper


def default_folder(model: str, data: str, name: str | None, *, resume: bool) -> Path:
    """`runs/MODEL-DATA`, numbered where taken; with `resume` the first unfinished one."""
    from semcon.partial import free_folder

    def plain(text: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")[-40:]

    last = data.split(",")[0].rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".parquet")
    stem = f"{plain(name or model.rpartition(':')[2])}-{plain(last)}"
    return free_folder(Path("runs") / stem, resume=resume)
