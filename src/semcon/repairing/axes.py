"""The axes that a repair mends: those that are named, else those that fail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from semcon.core.errors import SemconError
from semcon.core.files import write_whole
from semcon.core.record import Estimate
from semcon.core.summary import Summary, to_estimates
from semcon.core.table import SampleTable
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.gauges import choose_gauges, inert
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.references import Index
from semcon.measuring.two_passes import two_passes
from semcon.neighbourhood import Neighbourhood
from semcon.progress import Progress
from semcon.repairing.request import RepairRequest
from semcon.subject import Subject
from semcon.training.pool import Pool

AXES, LOOKED_AT, BAD = 4, 500, 0.05
AXES_FILE = "axes.json"


def find_axes(subject: Subject, fit: Pool, request: RepairRequest, folder: Path, progress: Progress) -> Neighbourhood:
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
    two_passes(plan, subject, index, read, skip=set(), keep=parts.append, progress=progress)
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
