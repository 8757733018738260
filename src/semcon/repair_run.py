"""One repair, end to end: a checkpoint and images to repaired weights and two audits on images it never saw."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
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
from semcon.core.training_record import NetworkRecord, read_training
from semcon.evaluations.continuity import Continuity
from semcon.keyed import Keys
from semcon.labelling import check_names
from semcon.loading import Batch, Scan
from semcon.measure import Plan, Trial
from semcon.neighbourhood import Neighbourhood
from semcon.partial import partial_of
from semcon.pool import Pool
from semcon.progress import Progress
from semcon.references import Index
from semcon.repairing import Mended, Point, make_alpha, mend
from semcon.repairing import told as told_point
from semcon.splitting import split
from semcon.subject import Subject
from semcon.training import Settings, launched
from semcon.training_run import WEIGHTS, growing, write_trained
from semcon.training_run import Plan as TrainingPlan
from semcon.weights import load_weights, save_like
from semcon.wish import Selection, Wish, near_trials

AXES, LOOKED_AT, BAD = 4, 500, 0.05
AXES_FILE = "axes.json"
FEWEST_STEPS = 100
SMALL = 1000  # images to fit; with fewer the batch norms keep their statistics
STILL = 0.15  # of the learning rate where they do: at the full one a ResNet-20 diverged


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
    """What a recipe decides about a repair. `plan`: of the judge's audits, without gauges.

    `neighbourhood`: None chooses. The other fields are those of `semcon.RepairRecipe`.
    """

    wishes: tuple[Wish, ...]
    plan: Plan
    neighbourhood: Neighbourhood | None
    network: NetworkRecord
    recipe: dict[str, Any]
    out: Path
    epochs: float = 9.0
    batch_size: int = 128
    learning_rate: float = 0.02
    clip: float | None = None
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
    """A finished repair. `before` and `after`: folders of the judge's audits; `weights`: in the form they came in.

    `frontier`: the points that no other beats in both change and accuracy, a line each.
    """

    folder: Path
    before: Path
    after: Path
    weights: Path
    met: bool
    sentence: str
    frontier: tuple[str, ...]


def run_repair(
    subject: Subject, images: Images, judge: Images | None, request: RepairRequest, progress: Progress
) -> Repaired:
    """Split, find the axes, mend, choose, write the weights, judge. The subject's network is mended in place."""
    if subject.module is None or not subject.differentiable:
        raise SemconError(
            f"{subject.name} has no gradient: only an nn.Module that autograd sees through can be repaired"
        )
    if not any(parameter.requires_grad for parameter in subject.module.parameters()):
        raise SemconError(f"{subject.name} has no parameter that can be trained: all are frozen, or there is none")
    check_names(subject.classes, subject.outputs)
    parts = split(images.scan.ids, request.seed, judge=judge is None)
    judged = images.part(parts.judge) if judge is None else _unseen(judge, images.scan.ids, progress)
    alpha, settings = make_alpha(request.wishes, request.alpha), _settings(subject, request, len(parts.fit))
    fabric = launched(settings)
    facts = {"weights_hash": subject.fingerprint, "images_hash": _hash(images), "judge_hash": judge and _hash(judge)}
    new = not partial_of(request.out).exists()
    folder = growing(request.out, request.recipe | facts, resume=request.resume, what="repair")
    with _gone_if_idle(folder, new=new):
        fit, select = (
            Pool(part.dataset, subject.canvas, part.scan, part.labels, device=subject.device, workers=request.workers)
            for part in (images.part(parts.fit), images.part(parts.select))
        )
        progress.say(_told(fit, select, judged, request))
        near = _axes(subject, fit, request, folder, progress)
        selection = Selection(select, near_trials(near, request.wishes), request.wishes, _plan(subject, near, request))
        mended = mend(
            subject, fit, selection, near, settings, alpha=alpha, share=request.share, copies=request.copies,
            freeze=len(fit) < SMALL, looks=request.looks, folder=folder, progress=progress, fabric=fabric,
        )  # fmt: skip
    progress.say(f"chosen on {len(select)} images: {mended.chosen.where}; judging on {len(judged.scan.ids)} others")
    return _proven(subject, judged, mended, near, folder, request, progress)


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


def _settings(subject: Subject, request: RepairRequest, images: int) -> Settings:
    batch = min(request.batch_size, images)
    steps = max(FEWEST_STEPS, round(request.epochs * (images // batch)))
    device = subject.device
    rate = request.learning_rate * (STILL if images < SMALL else 1)
    return Settings(
        steps, batch, learning_rate=rate, weight_decay=0.0, clip=request.clip, seed=request.seed,
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=1 if device.index is None else (device.index,),
    )  # fmt: skip


def _hash(images: Images) -> str:
    """Of the images and their labels, whatever their order."""
    pairs = torch.stack([images.scan.ids, images.labels], 1)
    return hashlib.blake2b(pairs.unique(dim=0).numpy().tobytes(), digest_size=8).hexdigest()


@contextmanager
def _gone_if_idle(folder: Path, *, new: bool) -> Iterator[None]:
    """Where something stops the repair before its first checkpoint, a folder that is new goes: nothing to resume."""
    try:
        yield
    except BaseException:
        if new and not (folder / "checkpoint.pt").exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _axes(subject: Subject, fit: Pool, request: RepairRequest, folder: Path, progress: Progress) -> Neighbourhood:
    """What is named, where it changes these images; else what fails, found once: a resumed repair mends the same."""
    rows = _sample(fit, request.seed)
    index = Index(fit.scan.ids[rows], fit.labels.cpu()[rows])
    if request.neighbourhood is not None:
        near = request.neighbourhood
        probe = _batches(fit, index, rows, range(min(64, len(rows))))[0]
        for (name, part), limit in zip(near.parts, near.limits, strict=True):
            if inert(Trial(name, part, (limit,)), probe, request.seed, subject.device):
                raise SemconError(f"{name} up to {limit:g} leaves these images as they are: there is nothing to mend")
        return near
    known = folder / AXES_FILE
    if known.exists():
        limits: dict[str, float] = json.loads(known.read_text(encoding="utf-8"))
        return Neighbourhood.of(tuple(limits), tuple(limits.values()))
    near = _failing(subject, fit, (rows, index), request, progress)
    limits = {name: limit for (name, _), limit in zip(near.parts, near.limits, strict=True)}
    write_whole(known, json.dumps(limits).encode())
    return near


def _sample(fit: Pool, seed: int) -> Tensor:
    """Some rows, by a keyed hash: a folder comes class by class."""
    return Keys(fit.scan.ids, seed, scope="axes").bits("axes").argsort(stable=True)[:LOOKED_AT]


def _batches(fit: Pool, index: Index, rows: Tensor, wanted: Sequence[int]) -> list[Batch]:
    """Images by their place in `rows`."""
    chosen = torch.tensor(list(wanted))
    return [
        Batch(fit.take(rows[part]), part, index.ids[part], index.labels[part], ("",) * len(part))
        for part in chosen.split(128)
    ]


def _failing(
    subject: Subject, fit: Pool, sample: tuple[Tensor, Index], request: RepairRequest, progress: Progress
) -> Neighbourhood:
    """The axes to mend: those under whose middle rung most predictions flip, at most four of them, on images to fit."""
    rows, index = sample
    read = partial(_batches, fit, index, rows)
    probe = read(range(min(64, len(rows))))[0]
    trials = [
        replace(trial, severities=trial.severities[len(trial.severities) // 2 :][:1])
        for trial in request.plan.trials
        if not inert(trial, probe, request.seed, subject.device)
    ]
    plan = Plan(
        tuple(trials), tuple(choose_gauges(subject, (), (("logits", "l2"),))), seed=request.seed, gradient_norm=False
    )
    parts: list[SampleTable] = []
    Continuity(plan).run(subject, index, read, skip=set(), keep=parts.append, progress=progress)
    flips = {one.perturbation: one for one in _flips(SampleTable.concat(parts), plan)}
    failing = [trial for trial in trials if (flips[trial.name].low or 0) > BAD]
    bad = sorted(failing, key=lambda trial: -(flips[trial.name].mean or 0))[:AXES]
    if not bad:
        raise SemconError(
            f"no perturbation flips more than {BAD:.0%} of the predictions at its middle rung: there is nothing to "
            "mend. Name what to mend: --perturb NAME:SEVERITY"
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
    weights = folder / WEIGHTS
    if request.weights not in (None, "none"):
        original = Path(str(request.weights))
        weights = folder / f"repaired{original.suffix}"
        save_like(module, original, weights)
        load_weights(module, str(weights))  # in the file's dtype: what is judged is what was written
    settings = _settings(subject, request, mended.images)
    plan = TrainingPlan(lambda _: mended.objective, settings, request.network, request.recipe, request.out)
    write_trained(folder, subject, mended.objective, mended.trained, plan)
    repaired = {name: value.clone() for name, value in module.state_dict().items()}
    own = subject.name, subject.weights, subject.training
    told = (f"{own[0]} (original)", *own[1:]), (
        f"{own[0]} (repaired)", str(request.out / weights.name), read_training(folder).training
    )  # fmt: skip
    for which, state, facts in zip(("before", "after"), (mended.original, repaired), told, strict=True):
        module.load_state_dict(state)
        module.eval().to(subject.device)  # an audit gives a model back as it came
        subject.name, subject.weights, subject.training = facts
        if (folder / which / "record.json").exists():
            continue
        audit = Request(
            request.plan, folder / which, classes_given=request.classes_given, budget=request.budget,
            workers=request.workers, resume=True, command=request.command,
        )  # fmt: skip
        run_audit(subject, judged.dataset, judged.scan, audit, progress)
    subject.name, subject.weights, subject.training = own
    sentence, frontier = _sentence(mended, near, request), frontier_of(mended.frontier)
    record = _record(mended, near, request, sentence) | {
        "weights": weights.name,
        "images": {"fit": mended.images, "select": mended.selected, "judge": len(judged.scan.ids)},
    }
    write_whole(folder / "repair.json", (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    out = request.out
    os.replace(folder, out)
    for name in ("checkpoint.pt", AXES_FILE):  # last: a kill before the new name leaves them to resume from
        (out / name).unlink(missing_ok=True)
    lines = tuple(told_point(point, request.wishes) for point in frontier)
    return Repaired(out, out / "before", out / "after", out / weights.name, mended.met, sentence, lines)


def frontier_of(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both change and accuracy, by change."""
    known = [point for point in points if point.standing.change == point.standing.change]
    best: list[Point] = []
    for point in sorted(known, key=lambda one: (one.standing.change, -one.standing.accuracy)):
        if not best or point.standing.accuracy > best[-1].standing.accuracy:
            best.append(point)
    return best


def _sentence(mended: Mended, near: Neighbourhood, request: RepairRequest) -> str:
    standing, first = mended.chosen.standing, mended.frontier[0].standing
    values = zip(request.wishes, standing.values, strict=True)
    missed = "; ".join(f"{wish.text} got to {value:.3g}" for wish, value in values if not wish.met(value))
    outcome = "The wish is met" if mended.met else f"The wish could not be met ({missed}); this is the nearest"
    axes = ", ".join(f"{name} up to {limit:g}" for (name, _), limit in zip(near.parts, near.limits, strict=True))
    same = mended.chosen.where == mended.frontier[0].where
    kept = " No weights did better than the original's, which are kept." if same else ""
    return (
        f"{outcome} on the selection split, under {axes}: relative change {first.change:.3f} to {standing.change:.3f}, "
        f"flips {first.flip:.1%} to {standing.flip:.1%}, accuracy {first.accuracy:.1%} to {standing.accuracy:.1%}."
        f"{kept}"
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
