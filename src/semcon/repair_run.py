"""One repair, end to end: a checkpoint and images to repaired weights, two audits on the judge's images, and their comparison."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semcon.auditing import Request, choose_gauges, inert, run_audit
from semcon.checkpoint import write_whole
from semcon.core.concepts import Dataset
from semcon.core.errors import SemconError
from semcon.core.record import Estimate
from semcon.core.summary import Summary, to_estimates
from semcon.core.table import SampleTable
from semcon.core.training_record import NetworkRecord
from semcon.evaluations.continuity import Continuity
from semcon.loading import Batch, Scan
from semcon.measure import Plan, Trial
from semcon.neighbourhood import Neighbourhood
from semcon.pool import Pool
from semcon.progress import Progress
from semcon.references import Index
from semcon.repair import Mended, make_alpha, mend
from semcon.splitting import split
from semcon.subject import Subject
from semcon.training import Settings
from semcon.training_run import Plan as TrainingPlan
from semcon.training_run import growing, write_trained
from semcon.weights import save_like
from semcon.wish import Selection, Wish

AXES, LOOKED_AT, BAD = 4, 500, 0.05
SMALL = 1000  # images to fit; with fewer the batch norms keep their statistics


@dataclass(frozen=True)
class Images:
    """A data set as it was scanned, with labels as output indices, -1 without."""

    dataset: Dataset
    scan: Scan
    labels: Tensor

    def part(self, rows: Tensor) -> Images:
        """Some of them, by row."""
        return Images(self.dataset, self.scan.part(rows), self.labels[rows])


@dataclass(frozen=True)
class RepairRequest:
    """What a recipe decides about a repair. `trials`: what the judge's audits measure; `neighbourhood`: None chooses."""

    wishes: tuple[Wish, ...]
    trials: tuple[Trial, ...]
    neighbourhood: Neighbourhood | None
    network: NetworkRecord
    recipe: dict[str, Any]
    out: Path
    epochs: float = 9.0
    batch_size: int = 128
    learning_rate: float = 0.02
    alpha: float = 4.0
    copies: float = 1.0
    share: float = 1.0
    looks: int = 12
    seed: int = 0
    weights: str | None = None
    workers: int | None = None
    resume: bool = False
    classes_given: bool = False
    budget: str = "fast"
    command: str = ""


@dataclass(frozen=True)
class Repaired:
    """A finished repair. `before` and `after`: folders of the judge's audits; `weights`: in the form they came in."""

    folder: Path
    before: Path
    after: Path
    weights: Path
    met: bool
    sentence: str


def run_repair(subject: Subject, images: Images, judge: Images | None, request: RepairRequest, progress: Progress) -> Repaired:
    """Split, find the axes, mend, choose, write the weights, judge. The subject's network is mended in place."""
    if subject.module is None or not subject.differentiable:
        raise SemconError(f"{subject.name} has no gradient: only an nn.Module that autograd sees through can be repaired")
    folder = growing(request.out, request.recipe, resume=request.resume)
    parts = split(images.scan.ids, request.seed, judge=judge is None)
    judged = images.part(parts.judge) if judge is None else _unseen(judge, images.scan.ids, progress)
    fit, select = (
        Pool(part.dataset, subject.canvas, part.scan, part.labels, device=subject.device, workers=request.workers)
        for part in (images.part(parts.fit), images.part(parts.select))
    )
    progress.say(_told(fit, select, judged, request))
    near = request.neighbourhood or _failing(subject, fit, images.dataset, request, progress)
    selection = Selection(select, near_trials(near, request.wishes), request.wishes, _plan(subject, near, request))
    mended = mend(
        subject, fit, selection, near, _settings(request, len(fit)), alpha=make_alpha(request.wishes, request.alpha),
        share=request.share, copies=request.copies, freeze=len(fit) < SMALL, looks=request.looks, folder=folder,
        progress=progress,
    )  # fmt: skip
    progress.say(f"chosen on {len(select)} images: {mended.chosen.where}; judging on {len(judged.scan.ids)} others")
    return _proven(subject, judged, mended, near, folder, request, progress)


def near_trials(near: Neighbourhood, wishes: Sequence[Wish]) -> tuple[Trial, ...]:
    """What the selection split is measured under: the wishes' severities, and each axis at its limit."""
    wanted: dict[str, tuple[Any, set[float]]] = {}
    for (name, part), limit in zip(near.parts, near.limits, strict=True):
        wanted.setdefault(name, (part, set()))[1].add(limit)
    for wish in wishes:
        if wish.perturbation is not None and wish.severity is not None:
            wanted[wish.perturbation][1].add(wish.severity)
    return tuple(Trial(name, part, tuple(sorted(severities))) for name, (part, severities) in wanted.items())


def _plan(subject: Subject, near: Neighbourhood, request: RepairRequest) -> Plan:
    gauges = tuple(choose_gauges(subject, (), (("logits", "l2"),)))
    return Plan(near_trials(near, request.wishes), gauges, seed=request.seed + 1, gradient_norm=False)


def _unseen(judge: Images, seen: Tensor, progress: Progress) -> Images:
    """The judge's images without those that the repair sees."""
    kept = torch.nonzero(~torch.isin(judge.scan.ids, seen)).flatten()
    if len(kept) < len(judge.scan.ids):
        progress.say(f"{len(judge.scan.ids) - len(kept)} of the judge's images are among those to repair on: left out")
    if not len(kept):
        raise SemconError("the judge's images are those that the repair sees: give others with --judge")
    return judge.part(kept)


def _told(fit: Pool, select: Pool, judged: Images, request: RepairRequest) -> str:
    truth = "labels" if bool((fit.labels >= 0).all()) else "the original's own predictions (there are no labels)"
    return (
        f"{len(fit)} images to fit, {len(select)} to select by, {len(judged.scan.ids)} to judge with, opened last; "
        f"accuracy is against {truth}; wished: {'; '.join(wish.text for wish in request.wishes)}"
    )


def _settings(request: RepairRequest, images: int) -> Settings:
    batch = min(request.batch_size, images)
    steps = max(100, round(request.epochs * (images // batch)))
    return Settings(steps, batch, learning_rate=request.learning_rate, weight_decay=0.0, seed=request.seed)


def _failing(subject: Subject, fit: Pool, dataset: Dataset, request: RepairRequest, progress: Progress) -> Neighbourhood:
    """The axes to mend: those under whose middle rung most predictions flip, at most four of them, on images to fit."""
    rows = torch.arange(min(LOOKED_AT, len(fit)))
    index = Index(fit.scan.ids[rows], fit.labels.cpu()[rows])

    def read(wanted: Sequence[int]) -> list[Batch]:
        chosen = torch.tensor(list(wanted))
        return [
            Batch(fit.take(part), part, index.ids[part], index.labels[part], ("",) * len(part))
            for part in chosen.split(128)
        ]

    probe = read(rows[:64].tolist())[0]
    trials = [
        replace(trial, severities=trial.severities[len(trial.severities) // 2 :][:1])
        for trial in request.trials
        if not inert(trial, probe.x, probe.ids.to(probe.x.device), request.seed)
    ]
    plan = Plan(tuple(trials), tuple(choose_gauges(subject, (), (("logits", "l2"),))), seed=request.seed, gradient_norm=False)
    parts: list[SampleTable] = []
    Continuity(plan).run(subject, index, read, skip=set(), keep=parts.append, progress=progress)
    flips = {one.perturbation: one for one in _flips(SampleTable.concat(parts), plan)}
    bad = sorted(
        (trial for trial in trials if (flips[trial.name].low or 0) > BAD), key=lambda trial: -(flips[trial.name].mean or 0)
    )[:AXES]  # fmt: skip
    if not bad:
        raise SemconError(
            f"no perturbation flips more than {BAD:.0%} of the predictions at its middle rung: there is nothing to mend. "
            "Name what to mend: --perturb NAME:SEVERITY"
        )
    told = ", ".join(f"{trial.name} at {trial.severities[0]:g} ({flips[trial.name].mean:.0%} flip)" for trial in bad)
    progress.say(f"to mend: {told}")
    return Neighbourhood(tuple((t.name, t.perturbation) for t in bad), tuple(t.severities[0] for t in bad))


def _flips(table: SampleTable, plan: Plan) -> list[Estimate]:
    figures = Summary(table, plan.seed, plan.primary.name, subsets="all").figures()
    return [one for part in figures for one in to_estimates(part) if one.quantity == "flip"]


def _proven(
    subject: Subject, judged: Images, mended: Mended, near: Neighbourhood, folder: Path, request: RepairRequest,
    progress: Progress,
) -> Repaired:  # fmt: skip
    """Write the weights, then audit original and repaired on the judge's images."""
    module = subject.module
    assert module is not None
    plan = TrainingPlan(
        lambda _: mended.objective, _settings(request, 1), request.network, request.recipe, request.out
    )  # fmt: skip
    write_trained(folder, subject, mended.objective, mended.trained, plan)
    weights = folder / "weights.safetensors"
    if request.weights not in (None, "none"):
        original = Path(str(request.weights))
        weights = folder / f"repaired{original.suffix}"
        save_like(module, original, weights)
    repaired = {name: value.clone() for name, value in module.state_dict().items()}
    name = subject.name
    for which, state in (("before", mended.original), ("after", repaired)):
        if (folder / which / "record.json").exists():
            continue
        module.load_state_dict(state)
        subject.name = f"{name} (original)" if which == "before" else f"{name} (repaired)"
        audit = Request(
            Plan(request.trials, (), seed=0), folder / which, classes_given=request.classes_given, budget=request.budget, workers=request.workers,
            resume=True, command=request.command,
        )  # fmt: skip
        run_audit(subject, judged.dataset, judged.scan, audit, progress)
    subject.name = name
    sentence = _sentence(mended, near)
    write_whole(folder / "repair.json", (json.dumps(_record(mended, near, request, sentence), indent=1) + "\n").encode())
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    os.replace(folder, request.out)
    out = request.out
    return Repaired(out, out / "before", out / "after", out / weights.name, mended.met, sentence)


def _sentence(mended: Mended, near: Neighbourhood) -> str:
    standing, first = mended.chosen.standing, mended.frontier[0].standing
    outcome = "The wish is met" if mended.met else "The wish could not be met; this is the nearest"
    axes = ", ".join(f"{name} up to {limit:g}" for (name, _), limit in zip(near.parts, near.limits, strict=True))
    return (
        f"{outcome} on the selection split, under {axes}: relative change {first.change:.3f} to {standing.change:.3f}, "
        f"flips {first.flip:.1%} to {standing.flip:.1%}, accuracy {first.accuracy:.1%} to {standing.accuracy:.1%}."
    )


def _record(mended: Mended, near: Neighbourhood, request: RepairRequest, sentence: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "sentence": sentence,
        "met": mended.met,
        "wishes": [asdict(wish) for wish in request.wishes],
        "axes": {name: limit for (name, _), limit in zip(near.parts, near.limits, strict=True)},
        "chosen": mended.chosen.plain(),
        "frontier": [point.plain() for point in mended.frontier],
        "seconds": mended.trained.seconds,
        "steps": mended.trained.steps,
    }
