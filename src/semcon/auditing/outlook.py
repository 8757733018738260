"""How long an audit will take, timed on a few images, and what it says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from semcon.keyed import Keys
from semcon.loading import Batch, Scan
from semcon.measuring.fitting import fitting
from semcon.measuring.plan import Plan
from semcon.report.numbers import counted
from semcon.subject import Subject


def seconds_per_image(subject: Subject, plan: Plan, batch: Batch) -> float:
    """What an image will take: the model's passes and every perturbation, each timed on a few images."""
    gradients = subject.differentiable

    @torch.no_grad()
    def seconds(part: Batch) -> float:
        x, ids, context = part.x.to(subject.device), part.ids.to(subject.device), part.context(subject.device)
        total = plan.passes(gradients=gradients) * _timed(lambda: subject.view(x, plan.layers).logits, repeats=3)
        for trial in plan.trials:
            unit = trial.perturbation.sample(Keys(ids, plan.seed, 0, trial.name), x)
            copies = plan.copies(trial, gradients=gradients)
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


def outlook(subject: Subject, plan: Plan, scan: Scan, seconds: float, done: int) -> str:
    """What an audit says of itself before it starts."""
    minutes = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"
    copies = sum(len(trial.severities) * trial.draws(plan.draws) for trial in plan.trials)
    resumed = f", {done} of them measured before" if done else ""
    bad = f", {len(scan.bad)} unreadable left out" if scan.bad else ""
    return (
        f"{subject.name}: {copies} {'copy' if copies == 1 else 'copies'} of each of {counted(len(scan.ids), 'image')}"
        f"{resumed}{bad}, "
        f"under {counted(len(plan.trials), 'perturbation')}, on {subject.device}: about {minutes}"
    )
