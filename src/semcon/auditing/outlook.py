"""How long an audit will take, timed on a few images, and what it says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from semcon.environment import emulated
from semcon.evaluating import Evaluation, TrialEvaluation
from semcon.keyed import Keys
from semcon.loading import Batch, Scan
from semcon.measuring.fitting import fitting, nothing
from semcon.measuring.references import Index
from semcon.progress import Silent
from semcon.report.numbers import counted, words
from semcon.subject import Subject

REHEARSED = 16  # images that an evaluation is timed on
LONG = 2.0  # seconds of one image from which on one is enough


def seconds_for(subject: Subject, evaluation: Evaluation, batch: Batch, images: int) -> float:
    """What so many images will take, each part timed on a few, and what is made of them at the end."""

    def one(part: Batch) -> tuple[float, float]:
        forward = _forward(subject, evaluation, part)
        if isinstance(evaluation, TrialEvaluation):
            return forward, _of_trials(subject, evaluation, part, forward)
        short = evaluation.rehearsal()
        if short is None:
            return forward, evaluation.passes(subject) * forward
        left_out = evaluation.passes(subject) - short.passes(subject)
        return forward, _of_rehearsal(subject, short, part) * len(part.x) + left_out * forward

    if not images:
        return 0.0
    found = list(fitting(batch, one))
    forward, total = (sum(part) / len(batch.x) for part in zip(*found, strict=True))
    return 1.15 * (images * total + evaluation.closing() * forward)


@torch.no_grad()
def _forward(subject: Subject, evaluation: Evaluation, part: Batch) -> float:
    """Seconds of a forward pass of these images."""
    layers = evaluation.plan.layers if isinstance(evaluation, TrialEvaluation) else ()
    x = part.x.to(subject.device)
    return _timed(lambda: subject.view(x, layers).logits, repeats=3)


@torch.no_grad()
def _of_trials(subject: Subject, evaluation: TrialEvaluation, part: Batch, forward: float) -> float:
    """Seconds of these images: the plan's passes, every perturbation, and what the evaluation adds to a batch."""
    x, context = part.x.to(subject.device), part.context(subject.device)
    plan, gradients = evaluation.plan, subject.differentiable
    total = plan.passes(gradients=gradients) * forward
    for trial in plan.trials:
        unit = trial.perturbation.sample(Keys(part.ids, plan.seed, 0, trial.name, x.device), x)
        work = partial(trial.perturbation, x, unit, trial.severities[-1], context)
        total += plan.copies(trial, gradients=gradients) * _timed(work)
    if evaluation.columns:
        total += (evaluation.passes(subject) - plan.passes(gradients=gradients)) * forward
    more = evaluation.more(subject, Silent())
    if more is not None:
        few = part.part(slice(REHEARSED))
        began = time.perf_counter()
        more(few)
        total += (time.perf_counter() - began) * len(part.x) / len(few.x)
    return total


def _of_rehearsal(subject: Subject, evaluation: Evaluation, part: Batch) -> float:
    """Seconds of an image of the evaluation itself: on very few where they take long, for small batches are slow."""
    seconds = 0.0
    for images in (1, REHEARSED):
        few = part.part(slice(images))
        began = time.perf_counter()
        evaluation.run(
            subject, Index(few.ids, few.labels), partial(_these, few), skip=set(), keep=nothing, progress=Silent()
        )
        seconds = (time.perf_counter() - began) / len(few.x)
        if seconds > LONG:
            break
    return seconds


def _these(batch: Batch, _: Sequence[int]) -> list[Batch]:
    return [batch]


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
    where = f"{subject.device}{emulated(subject.device, subject.precision)}"
    return f"{subject.name}: {_looks(evaluations, images)}, on {where}: about {minutes}"


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
