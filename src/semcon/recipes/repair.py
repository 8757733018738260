"""`semcon repair`: flags to a mended checkpoint with its proof; the Python door `semcon.repair`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from semcon.core.errors import SemconError
from semcon.progress import Progress, Silent
from semcon.recipes.keys import plain, validated
from semcon.recipes.sources import parse_data, parse_model, read_classes
from semcon.recipes.train import network_record
from semcon.recipes.trials import BUDGETS, BudgetName, parse_trials, perturbation_limit
from semcon.recipes.wish import OPPOSITE, parse_wish

if TYPE_CHECKING:
    from semcon.core.concepts import Dataset
    from semcon.loading import Scan
    from semcon.neighbourhood import Neighbourhood
    from semcon.repairing.request import Images, Repaired
    from semcon.repairing.wish import Wish
    from semcon.subject import Subject


class RepairRecipe(BaseModel):
    """The settings of one repair, validated. Names as the flags of `semcon repair`.

    `wish`: `accuracy >= -1` (points against the original; without labels, agreement with it), or
    `gaussian_noise:0.05 relative_change <= 0.2`. `perturb`: what to mend, `NAME:SEVERITY`; by default what the wishes
    name, else the axes that fail. `judge`: images to judge by, opened once; by default a third of `data`. `copies`:
    weight of the original's prediction on the perturbed images. `budget`: rungs, draws and searches of the judge's
    audits, on all of its images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    model: Any
    data: Any
    judge: Any = None
    wish: tuple[str, ...] = ("accuracy >= -1",)
    perturb: tuple[str, ...] = ()
    weights: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = Field(default=None, ge=8, le=4096)
    classes: str | None = None
    skip_bad: bool = False
    epochs: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=0.02, gt=0)
    clip: float | None = Field(default=None, gt=0)
    alpha: float = Field(default=4.0, gt=0)
    copies: float = Field(default=1.0, ge=0)
    share: float = Field(default=1.0, gt=0, le=1)
    looks: int = Field(default=12, ge=1)
    budget: BudgetName = "fast"
    device: str = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)
    workers: int | None = Field(default=None, ge=1)


def repair_recipe(settings: dict[str, Any]) -> RepairRecipe:
    """A validated recipe. Errors: `UnknownNameError`, `SemconError`, as `train_recipe`."""
    return validated(RepairRecipe, settings)


def repair(
    recipe: RepairRecipe | dict[str, Any], *, out: str | Path = "repair", resume: bool = False,
    progress: Progress | None = None, command: str = "",
) -> Repaired:  # fmt: skip
    """Fine-tune a checkpoint until the wishes are met, and prove it on images that it never saw.

    The run folder holds the repaired weights, also in the format they came in, the audits `before` and `after` on the
    judge's images, and the frontier in `repair.json`. Errors: `SemconError` says what to do.
    """
    from semcon.built import build_subject
    from semcon.measuring.plan import Plan
    from semcon.partial import check_free
    from semcon.repairing.request import RepairRequest
    from semcon.repairing.run import run_repair
    from semcon.search import SearchSettings

    own = recipe if isinstance(recipe, RepairRecipe) else repair_recipe(recipe)
    folder, told = Path(out), progress or Silent()
    check_free(folder, resume=resume, what="repair", sign="recipe.json")
    wishes = tuple(parse_wish(text) for text in own.wish)
    if not wishes:
        raise SemconError(f"nothing is wished: {OPPOSITE}")
    near = _neighbourhood(own, wishes)
    source = parse_model(own.model, own.weights)
    images, common = _scanned(own.data, own, told)
    judged = None if own.judge is None else _scanned(own.judge, own, told)[0]
    names = None if own.classes is None else read_classes(own.classes)
    subject = build_subject(
        source.build(), mean=own.mean, std=own.std, size=own.size, classes=names, device=own.device, precision="32",
        common_size=common, name=None,
    )  # fmt: skip
    budget = BUDGETS[own.budget]
    audited = Plan(
        parse_trials((), budget, _limits(images[0], None if judged is None else judged[0])), (), draws=budget.draws,
        seed=0, worst=SearchSettings() if budget.worst == "search" else None, critical=budget.critical,
    )  # fmt: skip
    request = RepairRequest(
        wishes, audited, near, network_record(source), plain(own), folder, epochs=own.epochs,
        batch_size=own.batch_size, learning_rate=own.learning_rate, clip=own.clip, alpha=own.alpha, copies=own.copies,
        share=own.share, looks=own.looks, seed=own.seed, weights=own.weights, workers=own.workers, resume=resume,
        classes_given=names is not None, budget=own.budget, command=command,
    )  # fmt: skip
    try:
        return run_repair(
            subject, _as_images(subject, images, given=names is not None),
            None if judged is None else _as_images(subject, judged, given=names is not None), request, told,
        )  # fmt: skip
    finally:
        subject.release()


def _limits(*datasets: Dataset | None) -> dict[str, float]:
    """The severities that all these data allow."""
    limits: dict[str, float] = {}
    for dataset in datasets:
        for name, limit in getattr(dataset, "severity_limits", {}).items():
            limits[name] = min(limit, limits.get(name, limit))
    return limits


def _neighbourhood(recipe: RepairRecipe, wishes: Sequence[Wish]) -> Neighbourhood | None:
    """What is named: by --perturb, else by the wishes (at the highest severity wished for)."""
    from semcon.neighbourhood import Neighbourhood

    limits = dict(perturbation_limit(text) for text in recipe.perturb)
    if not limits:
        for wish in wishes:
            if wish.perturbation is not None and wish.severity is not None:
                limits[wish.perturbation] = max(wish.severity, limits.get(wish.perturbation, 0.0))
    return Neighbourhood.of(tuple(limits), tuple(limits.values())) if limits else None


def _scanned(
    data: Any, recipe: RepairRecipe, progress: Progress
) -> tuple[tuple[Dataset, Scan], tuple[int, int] | None]:
    from semcon.loading import scan

    dataset = parse_data(data, None)
    with progress.task("reading", total=len(dataset)):
        found = scan(dataset, workers=recipe.workers, skip_bad=recipe.skip_bad, advance=progress.advance)
    return (dataset, found), found.common_size


def _as_images(subject: Subject, scanned: tuple[Dataset, Scan], *, given: bool) -> Images:
    import torch

    from semcon.repairing.request import Images
    from semcon.training.run import labels_of

    dataset, found = scanned
    if bool((found.labels < 0).any()):
        return Images(dataset, found, torch.full_like(found.labels, -1))
    return Images(dataset, found, labels_of(subject, dataset, found, given=given))
