"""The two passes of a measurement: the references first, then a row per image, perturbation, severity and draw."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterable, Sequence

import polars as pl

from semcon.core.table import SampleTable
from semcon.loading import Batch
from semcon.measuring.eye import Eye, look_at_references
from semcon.measuring.measure import Measurement
from semcon.measuring.plan import Plan
from semcon.measuring.references import Index, References, choose, gather
from semcon.measuring.trial_run import Besides, Clean
from semcon.progress import Progress
from semcon.subject import Subject, whole_float32

KEEP_EVERY = 2.0  # seconds of measuring that a kill may cost
Reader = Callable[[Sequence[int]], Iterable[Batch]]
"""Positions in the data set -> batches, in that order."""
Keeper = Callable[[SampleTable], None]
"""Takes every part of a table as soon as it is there."""


@whole_float32()
def two_passes(
    plan: Plan, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress,
    title: str = "measuring", more: Callable[[Batch], pl.DataFrame] | None = None, passes: float = 0.0,
    columns: tuple[str, ...] = (), besides: Callable[[Clean], Besides] | None = None,
) -> tuple[Eye, References]:  # fmt: skip
    """Measure a plan, leaving out the positions in `skip` (measured before). `title`: of the progress bar.

    `more`: further rows of a batch; `columns`, `besides`: further columns of all rows and what measures them; `passes`:
    what both cost, forward passes per image.
    """
    eye = Eye(subject, plan)
    references = gather(index, choose(index, plan.seed), subject.device)
    with progress.task("references", total=len(references.positions)):
        chosen = read(sorted(references.positions.tolist()))
        infos = look_at_references(eye, _told(chosen, progress), references, progress.say)
    total = plan.passes(gradients=subject.differentiable) + passes
    measurement = Measurement(eye, references, tuple(infos), progress.advance, progress.say, more, columns, besides)
    with progress.task(title, total=total * len(index.ids), done=total * len(skip)):
        keep_often(measurement.run(read(left_of(index, skip))), keep)
    return eye, references


def left_of(index: Index, skip: set[int]) -> Sequence[int]:
    """The positions that are still to be measured, in their order."""
    every = range(len(index.ids))
    return array("q", (position for position in every if position not in skip)) if skip else every


def keep_often(parts: Iterable[SampleTable], keep: Keeper) -> None:
    """What comes within some seconds is kept as one part; so is what is there when something stops the run."""
    pending: list[SampleTable] = []
    kept = -math.inf
    try:
        for part in parts:
            pending.append(part)
            if time.monotonic() - kept >= KEEP_EVERY:
                together, pending = SampleTable.concat(pending), []
                keep(together)
                kept = time.monotonic()
    finally:
        if pending:
            keep(SampleTable.concat(pending))


def _told(batches: Iterable[Batch], progress: Progress) -> Iterable[Batch]:
    for batch in batches:
        yield batch
        progress.advance(len(batch.x))
