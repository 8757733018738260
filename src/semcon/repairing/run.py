"""One repair, end to end: a checkpoint and images to repaired weights and two audits on images it never saw."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from semcon.auditing.material import Request
from semcon.auditing.run import run_audit
from semcon.core.errors import SemconError
from semcon.core.files import write_whole
from semcon.core.record import read_record
from semcon.core.training_record import read_training
from semcon.evaluations.continuity import Continuity
from semcon.labelling import check_names
from semcon.measuring.gauges import choose_gauges
from semcon.measuring.plan import Plan, Trial
from semcon.neighbourhood import Neighbourhood
from semcon.partial import partial_of
from semcon.progress import Progress
from semcon.repairing.axes import AXES_FILE, find_axes
from semcon.repairing.mend import Mended, make_alpha, mend
from semcon.repairing.outcome import frontier_of, judged_wishes, outcome_record, outcome_sentence
from semcon.repairing.request import Images, Repaired, RepairRequest
from semcon.repairing.splitting import split
from semcon.repairing.watching import told as told_point
from semcon.repairing.wish import Selection, near_trials
from semcon.run_record import RunRecord
from semcon.subject import Subject
from semcon.training.pool import Pool
from semcon.training.run import WEIGHTS, gone_if_idle, growing, write_trained
from semcon.training.run import Plan as TrainingPlan
from semcon.training.settings import Settings, launched
from semcon.weights import load_weights, save_like

FEW_EPOCHS, FEWEST_STEPS = 9.0, 100  # where nobody says how many
SMALL = 1000  # images to fit; with fewer the batch norms keep their statistics
STILL = 0.15  # of the learning rate where they do: at the full one a ResNet-20 diverged


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
    facts = {
        "weights_hash": subject.fingerprint, "images_hash": images.fingerprint,
        "judge_hash": judge and judge.fingerprint,
    }  # fmt: skip
    new = not partial_of(request.out).exists()
    folder = growing(request.out, request.recipe | facts, resume=request.resume, what="repair")
    with gone_if_idle(folder, new=new):
        fit, select = (
            Pool(part.dataset, subject.canvas, part.scan, part.labels, device=subject.device, workers=request.workers)
            for part in (images.part(parts.fit), images.part(parts.select))
        )
        progress.say(_told(fit, select, judged, request))
        if request.weights is None:
            progress.say("no --weights are given: the network is repaired as its source builds it")
        near = find_axes(subject, fit, request, folder, progress)
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
    per_epoch = images // batch
    wanted = FEW_EPOCHS if request.epochs is None else request.epochs
    steps = max(1 if request.epochs is not None else FEWEST_STEPS, round(wanted * per_epoch))
    device = subject.device
    rate = request.learning_rate * (STILL if images < SMALL else 1)
    return Settings(
        steps, batch, learning_rate=rate, weight_decay=0.0, clip=request.clip, seed=request.seed,
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=1 if device.index is None else (device.index,),
    )  # fmt: skip


def _with(trials: Sequence[Trial], wished: Sequence[Trial]) -> tuple[Trial, ...]:
    """The judge's trials, and besides what was wished for and mended, at its own severities."""
    own = {trial.name: trial for trial in trials}
    for trial in wished:
        known = own.get(trial.name, replace(trial, limit=max(trial.severities)))
        own[trial.name] = replace(known, severities=tuple(sorted({*known.severities, *trial.severities})))
    return tuple(own.values())


def _audited(folder: Path, subject: Subject) -> bool:
    """Whether the audit of these very weights is there; one of others, as a resumed repair may end with, goes."""
    if not (folder / "record.json").exists():
        return False
    if read_record(folder).subject.fingerprint == subject.fingerprint:
        return True
    shutil.rmtree(folder)
    return False


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
    trained = TrainingPlan(lambda _: mended.objective, settings, request.network, request.recipe, request.out)
    write_trained(folder, subject, mended.objective, mended.trained, trained)
    repaired = {name: value.clone() for name, value in module.state_dict().items()}
    own = subject.name, subject.weights, subject.training
    told = (f"{own[0]} (original)", *own[1:]), (
        f"{own[0]} (repaired)", str(request.out / weights.name), read_training(folder).training
    )  # fmt: skip
    plan = replace(request.plan, trials=_with(request.plan.trials, near_trials(near, request.wishes)))
    for which, state, facts in zip(("before", "after"), (mended.original, repaired), told, strict=True):
        module.load_state_dict(state)
        module.eval().to(subject.device)  # an audit gives a model back as it came
        subject.name, subject.weights, subject.training = facts
        if _audited(folder / which, subject):
            continue
        audit = Request(
            {"continuity": Continuity(plan)}, folder / which, seed=plan.seed,
            classes_given=request.classes_given, budget=request.budget, workers=request.workers, resume=True,
            command=request.command,
        )  # fmt: skip
        run_audit(subject, judged.dataset, judged.scan, audit, progress)
    subject.name, subject.weights, subject.training = own
    before, after = (RunRecord.load(folder / name) for name in ("before", "after"))
    judgement = judged_wishes(request.wishes, before, after)
    sentence = " ".join((
        outcome_sentence(mended, near, request),
        f"On the judge's {len(judged.scan.ids)} images {'; '.join(one.sentence for one in judgement)}.",
    ))  # fmt: skip
    frontier = frontier_of(mended.frontier)
    record = outcome_record(mended, near, request, sentence) | {
        "weights": weights.name,
        "judged": [asdict(one) for one in judgement],
        "images": {"fit": mended.images, "select": mended.selected, "judge": len(judged.scan.ids)},
    }
    write_whole(folder / "repair.json", (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    out = request.out
    os.replace(folder, out)
    for name in ("checkpoint.pt", AXES_FILE):  # last: a kill before the new name leaves them to resume from
        (out / name).unlink(missing_ok=True)
    lines = tuple(told_point(point, request.wishes) for point in frontier)
    return Repaired(out, out / "before", out / "after", out / weights.name, mended.met, sentence, lines)
