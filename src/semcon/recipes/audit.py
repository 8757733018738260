"""The Python door `semcon.audit`: settings to a subject, images and evaluations, and the run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.progress import Progress, Silent
from semcon.recipes.audit_recipe import (
    AuditRecipe,
    check_evaluations,
    check_settings,
    listed,
    pairs,
    recipe,
    several,
    shots_of,
    sizes,
)
from semcon.recipes.sources import numbers, parse_data, parse_model, parse_target, read_classes
from semcon.recipes.trials import BudgetName, parse_trials
from semcon.rules import Rule, check_rules

if TYPE_CHECKING:
    from semcon.core.concepts import Dataset
    from semcon.evaluating import Evaluation, Setting
    from semcon.measuring.plan import Trial
    from semcon.run_record import RunRecord
    from semcon.subject import Subject


def audit(
    model: Any,
    data: Any,
    *,
    weights: str | Path | None = None,
    mean: str | Sequence[float] | float | None = None,
    std: str | Sequence[float] | float | None = None,
    size: int | None = None,
    masks: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    perturbations: str | Sequence[str] = (),
    layers: str | Sequence[str] | None = None,
    gauges: str | Sequence[str] | None = None,
    draws: int | None = None,
    worst: Literal["none", "search"] | None = None,
    critical: bool | None = None,
    gradient_norm: bool = True,
    evaluate: str | Sequence[str] = ("continuity",),
    eps: str | Sequence[float] | float | None = None,
    autoattack: bool = False,
    explanations: str | Sequence[str] | None = None,
    groups: str | None = None,
    transfer_to: Any = None,
    transfer_layer: str | None = None,
    shots: str | Sequence[int] | None = None,
    reference: Any = None,
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
    `"gaussian_noise:0.05/0.1"`; all with the budget's ladder where none is named. `masks`: a folder beside a folder
    of images, of the same paths, that says where the object is. `layers`: further outputs to look at,
    by their module names; None chooses stages of the network. `gauges`: REPRESENTATION.DISTANCE pairs
    in place of the usual ones; pixels.l2 and logits.l2 are always there. `evaluate`: which evaluations to make
    (`semcon list evaluations`); perturbations are continuity's and explanation_stability's, draws, worst, layers and
    gauges continuity's. `eps`: the sizes of
    adversarial's L-infinity attacks, in 1/255; `autoattack`: have it beside them. `explanations`: those that the
    evaluations of explanations look at (`semcon list explanations`), `grad_cam:LAYER` with a layer of your own.
    `groups`: a CSV file beside the images, or names of attributes or columns of the data, for group_gap.
    `transfer_to`: the data set that the evaluation transfer goes to, one that is split, or two as `TRAIN,TEST` or a
    tuple; `transfer_layer`: where its features come from; `shots`: images a class that are learned from, as 1,5.
    `reference`: a model of the same classes, given as `model` is (and with a normalisation of its own or none), that
    axis_meaning asks whether geometry changes what images mean.
    `out`: the run folder; without it the record lives in a temporary folder. `name`: what reports call the model.
    `rules`: of a gate that will judge the run; refused before the measurement where they speak of nothing in it.

    Returns a `RunRecord`: `.show()`, `.table()`, `.report(path)`. Errors: `SemconError` says what to do.
    """
    class_names = read_classes(classes) if isinstance(classes, str | Path) else tuple(classes) if classes else None
    settings = recipe({
        "weights": None if weights is None else str(weights), "mean": numbers(mean, "mean"), "std": numbers(std, "std"),
        "size": size, "masks": None if masks is None else str(masks), "classes": class_names,
        "perturbations": several(perturbations),
        "layers": None if layers is None else several(layers),
        "gauges": None if gauges is None else several(gauges),
        "draws": draws, "worst": worst, "critical": critical, "gradient_norm": gradient_norm, "budget": budget,
        "evaluate": listed(evaluate),
        "eps": sizes(eps), "autoattack": autoattack,
        "explanations": None if explanations is None else listed(explanations),
        "groups": groups, "transfer_to": transfer_to, "transfer_layer": transfer_layer, "shots": shots_of(shots),
        "reference": reference,
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
    from semcon.auditing.material import Request
    from semcon.auditing.run import run_audit
    from semcon.built import build_subject
    from semcon.evaluating import Setting
    from semcon.grouping.attributes import read_attributes
    from semcon.loading import mask_reader, scan

    allowance = settings.allowance
    check_evaluations(settings.evaluate)
    check_settings(settings)
    built = parse_model(model, settings.weights).build()
    dataset = parse_data(data, allowance.limit, settings.masks)
    limits: dict[str, float] = getattr(dataset, "severity_limits", {})
    trials = parse_trials(settings.perturbations, allowance, limits)
    with progress.task("reading", total=len(dataset)):
        scanned = scan(dataset, workers=settings.workers, skip_bad=settings.skip_bad, advance=progress.advance)
    subject = build_subject(
        built, mean=settings.mean, std=settings.std, size=settings.size, classes=settings.classes,
        device=settings.device, precision=settings.precision, common_size=scanned.common_size, name=name,
    )  # fmt: skip
    reference = _reference(settings, subject)
    setting = Setting(
        budget=settings.budget, height=subject.canvas.height, width=subject.canvas.width, seed=settings.seed,
        gradients=subject.differentiable, labelled=bool((scanned.labels >= 0).all()),
        masks=mask_reader(dataset) is not None, limits=limits, eps=settings.eps, autoattack=settings.autoattack,
        explanations=settings.explanations,
        target=parse_target(settings.transfer_to, settings.seed, skip_bad=settings.skip_bad),
        transfer_layer=settings.transfer_layer,
        shots=settings.shots, reference=reference,
        trials=trials if settings.perturbations else (),
        attributes=read_attributes(dataset, scanned, settings.groups, whole=_whole(data))
        if "group_gap" in settings.evaluate else None,
        classes=None if dataset.classes is None else tuple(dataset.classes),
    )  # fmt: skip
    request = Request(
        _evaluations(settings, trials, setting), out, seed=settings.seed,
        classes_given=settings.classes is not None, budget=settings.budget, limit=allowance.limit,
        batch_size=settings.batch_size, workers=settings.workers, resume=settings.resume, command=command,
        accept=partial(_check_rules, rules),
    )  # fmt: skip
    try:
        return run_audit(subject, dataset, scanned, request, progress)
    finally:
        subject.release()
        if reference is not None:
            reference.release()


def _whole(data: Any) -> Callable[[], Dataset] | None:
    """How to have all images of data that can be read twice, whatever the limit."""
    again = isinstance(data, str | Path | tuple | list) or hasattr(data, "shape")
    return partial(parse_data, data, None) if again else None


def _reference(settings: AuditRecipe, subject: Subject) -> Subject | None:
    """The second model of the user's, with its own preprocessing, or the first one's canvas."""
    from semcon.built import build_subject

    if settings.reference is None:
        return None
    try:
        return build_subject(
            parse_model(settings.reference, None).build(), mean=None, std=None, size=None, classes=None,
            device=settings.device, precision=settings.precision, common_size=subject.size, name=None,
        )  # fmt: skip
    except SemconError as error:
        subject.release()
        raise SemconError(f"the reference: {error}") from error


def _evaluations(settings: AuditRecipe, trials: tuple[Trial, ...], setting: Setting) -> dict[str, Evaluation]:
    """What was asked for, continuity first: its plan is the user's, the others' follow from the budget."""
    from semcon.evaluations.continuity import Continuity
    from semcon.measuring.plan import Plan
    from semcon.search import SearchSettings

    allowance = settings.allowance
    plan = Plan(
        trials, gauges=(), draws=allowance.draws, seed=settings.seed,
        worst=SearchSettings() if allowance.worst == "search" else None, critical=allowance.critical,
        gradient_norm=settings.gradient_norm,
    )  # fmt: skip
    found: dict[str, Evaluation] = {}
    if "continuity" in settings.evaluate:
        found["continuity"] = Continuity(plan, layers=settings.layers, pairs=pairs(settings.gauges))
    for name in settings.evaluate:
        if name != "continuity":
            kind: type[Evaluation] = load("evaluations", name)
            _check_needs(name, kind, setting)
            found[name] = kind.planned(setting)
    return found


def _check_needs(name: str, kind: type[Evaluation], setting: Setting) -> None:
    there = {"labels": setting.labelled, "gradients": setting.gradients, "masks": setting.masks}
    lacking = [need for need in kind.needs if not there[need]]
    if lacking:
        whose = "the model has" if lacking[0] == "gradients" else "the data have"
        raise SemconError(f"the evaluation {name} needs {lacking[0]}, and {whose} none: leave it out of --evaluate")


def _check_rules(rules: Sequence[Rule], evaluations: Mapping[str, Evaluation]) -> None:
    """Before the measurement: the rules speak of what will be measured."""
    check_rules(rules, [one.measured() for one in evaluations.values()])


def _temporary_folder() -> tuple[Path, Any]:
    keeper = tempfile.TemporaryDirectory(prefix="semcon-")
    return Path(keeper.name) / "run", keeper
