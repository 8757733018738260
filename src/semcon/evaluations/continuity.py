"""Semantic continuity: how far does the output move under changes that carry no meaning?"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from semcon.core.table import SampleTable
from semcon.loading import Batch
from semcon.measuring.eye import Eye, look_at_references
from semcon.measuring.measure import Measurement
from semcon.measuring.plan import Plan
from semcon.measuring.references import Index, References, choose, gather
from semcon.progress import Progress
from semcon.subject import Subject

KEEP_EVERY = 2.0  # seconds of measuring that a kill may cost
Reader = Callable[[Sequence[int]], Iterable[Batch]]
"""Positions in the data set -> batches, in that order."""


@dataclass(frozen=True)
class Continuity:
    """Two passes: the references first, then a row per image, perturbation, severity and draw."""

    question: ClassVar[str] = "How far does the output move under changes that carry no meaning?"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    plan: Plan

    def run(
        self,
        subject: Subject,
        index: Index,
        read: Reader,
        *,
        skip: set[int],
        keep: Callable[[SampleTable], None],
        progress: Progress,
    ) -> tuple[Eye, References]:
        """Hand every part of the table to `keep`, leaving out the positions in `skip` (measured before)."""
        eye = Eye(subject, self.plan)
        references = gather(index, choose(index, self.plan.seed), subject.device)
        with progress.task("references", total=len(references.positions)):
            chosen = read(sorted(references.positions.tolist()))
            infos = look_at_references(eye, _told(chosen, progress), references, progress.say)
        every = range(len(index.ids))
        left = array("q", (position for position in every if position not in skip)) if skip else every
        total = self.plan.passes(gradients=subject.differentiable)
        measurement = Measurement(eye, references, tuple(infos), progress.advance, progress.say)
        with progress.task("measuring", total=total * len(index.ids), done=total * len(skip)):
            _keep_often(measurement.run(read(left)), keep)
        return eye, references


def _keep_often(parts: Iterable[SampleTable], keep: Callable[[SampleTable], None]) -> None:
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
