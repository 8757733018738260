"""How long an audit will take, timed on a few images, and what it says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from semcon.evaluating import Evaluation, TrialEvaluation
from semcon.keyed import Keys
from semcon.loading import Batch, Scan
from semcon.measuring.fitting import fitting
from semcon.report.numbers import counted, words
from semcon.subject import Subject


def seconds_per_image(subject: Subject, evaluation: Evaluation, batch: Batch) -> float:
    """What an image will take: the model's passes and every perturbation, each timed on a few images."""
    plan = evaluation.plan if isinstance(evaluation, TrialEvaluation) else None
    layers = plan.layers if plan else ()

    @torch.no_grad()
    def seconds(part: Batch) -> float:
        x, ids, context = part.x.to(subject.device), part.ids.to(subject.device), part.context(subject.device)
        total = evaluation.passes(subject) * _timed(lambda: subject.view(x, layers).logits, repeats=3)
        for trial in plan.trials if plan else ():
            unit = trial.perturbation.sample(Keys(ids, plan.seed if plan else 0, 0, trial.name), x)
            copies = plan.copies(trial, gradients=subject.differentiable) if plan else 0
            total += copies * _timed(partial(trial.perturbation, x, unit, trial.severities[-1], context))
        return total

    return 1.15 * sum(fitting(batch, seconds)) / len(batch.x)


def _timed(work: Callable[[], Tensor], repeats: int = 1) -> float:
    """Median seconds, until the numbers are there."""
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        float(work().flatten()[0])
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def outlook(subject: Subject, evaluations: Mapping[str, Evaluation], scan: Scan, seconds: float, done: int) -> str:
    """What an audit says of itself before it starts. `done`: images that all evaluations have measured before."""
    minutes = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"
    resumed = f", {done} of them measured before" if done else ""
    bad = f", {len(scan.bad)} unreadable left out" if scan.bad else ""
    images = f"{counted(len(scan.ids), 'image')}{resumed}{bad}"
    about = "about" if list(evaluations) == ["continuity"] else "at least"
    return f"{subject.name}: {_looks(evaluations, images)}, on {subject.device}: {about} {minutes}"


def _looks(evaluations: Mapping[str, Evaluation], images: str) -> str:
    """How many copies under how many perturbations, and the names of the evaluations where there are more."""
    trials = [one.plan for one in evaluations.values() if isinstance(one, TrialEvaluation)]
    copies = sum(len(trial.severities) * trial.draws(plan.draws) for plan in trials for trial in plan.trials)
    perturbations = sum(len(plan.trials) for plan in trials)
    names = "" if list(evaluations) == ["continuity"] else f", for {', '.join(map(words, evaluations))}"
    if not copies:
        return f"{images}{names}"
    told = f"{copies} {'copy' if copies == 1 else 'copies'} of each of {images}"
    return f"{told}, under {counted(perturbations, 'perturbation')}{names}"
