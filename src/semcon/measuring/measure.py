"""Perturb, look, compare: one row per image, perturbation, severity and draw, and nothing else.

Every mean, interval and figure is made later, from the rows. Draws are keyed by the image, so nothing here depends on
the batch size, the order of the images or the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import polars as pl
import torch
from torch import Tensor

from semcon.class_score import answered
from semcon.core.concepts import View
from semcon.core.record import GaugeInfo
from semcon.core.table import SampleTable
from semcon.loading import Batch
from semcon.measuring.eye import Eye, check_finite
from semcon.measuring.fitting import fitting, nothing
from semcon.measuring.image_rows import image_frame, nullable
from semcon.measuring.plan import Plan
from semcon.measuring.references import References
from semcon.measuring.row_writer import RowWriter, in_schema
from semcon.measuring.slopes import Margin
from semcon.measuring.trial_run import Besides, Clean, TrialRun


@dataclass(frozen=True)
class Measurement:
    """The second pass over one subject: batches in, table parts out.

    `more`: further rows of a batch, with some of the table's columns. `columns`, `besides`: further columns of the
    rows, and what measures them, made for every untouched batch.
    """

    eye: Eye
    references: References
    infos: tuple[GaugeInfo, ...]
    advance: Callable[[float], None] = nothing
    note: Callable[[str], None] = nothing
    more: Callable[[Batch], pl.DataFrame] | None = None
    columns: tuple[str, ...] = ()
    besides: Callable[[Clean], Besides] | None = None

    @property
    def plan(self) -> Plan:
        """The settings."""
        return self.eye.plan

    def run(self, batches: Iterable[Batch]) -> Iterator[SampleTable]:
        """One table part per batch; a batch that does not fit in memory is halved, which changes no number."""
        for batch in batches:
            yield SampleTable.concat(list(fitting(batch, self._measure, self.note)))

    def _measure(self, batch: Batch) -> SampleTable:
        x = batch.x.to(self.eye.subject.device, non_blocking=True)
        clean = replace(self._clean(x, batch), context=batch.context(x.device))
        check_finite(batch, clean.vectors)
        rows = RowWriter(self.infos, batch, self.columns)
        besides = None if self.besides is None else self.besides(clean)
        for trial in self.plan.trials:
            with torch.no_grad():
                TrialRun(self.eye, trial, clean, rows, self.advance, besides).record()
        frame = rows.frame()
        if self.more is not None:
            frame = pl.concat([frame, in_schema(self.more(batch), self.infos, self.columns)])
        return SampleTable(self._images(batch, clean), frame, self.infos)

    def _clean(self, x: Tensor, batch: Batch) -> Clean:
        norm = x.new_full((len(x),), torch.nan)
        if self.plan.gradient_norm and self.eye.subject.differentiable:
            with torch.enable_grad():
                source = x.detach().requires_grad_()
                view = self.eye.view(source)
                norm = Margin.of(view.logits, source).slope
            layers = {name: value.detach() for name, value in view.layers.items()}
            vectors = self.eye.vectors(View(x, view.logits.detach(), layers))
        else:
            with torch.no_grad():
                vectors = self._recalled(x, batch.positions.to(x.device))
        sketches = self.eye.sketch(vectors)
        ids, labels = batch.ids.to(x.device), batch.labels.to(x.device)
        yardsticks = {
            gauge.name: self.references.yardstick(gauge, sketches[gauge.representation.name], ids, labels)
            for gauge in self.plan.gauges
        }
        confidence, prediction = answered(vectors[self.plan.primary.representation.name])
        self.advance(len(x))
        return Clean(x, batch.ids, vectors, yardsticks, prediction, confidence, norm)

    def _recalled(self, x: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """The clean vectors; references whose vectors are kept whole need no second forward pass."""
        if any(info.projected for info in self.infos):
            return self.eye.vectors(self.eye.view(x))
        known = self.references.rows(positions)
        new = known < 0
        vectors = {name: kept[known.clamp(min=0)] for name, kept in self.references.vectors.items()}
        if bool(new.any()):
            for name, value in self.eye.vectors(self.eye.view(x[new])).items():
                vectors[name][new] = value
        return vectors

    def _images(self, batch: Batch, clean: Clean) -> pl.DataFrame:
        chosen = set(self.references.positions.tolist())
        positions = batch.positions.tolist()
        columns: dict[str, object] = {
            "gradient_norm": nullable(clean.gradient_norm),
            "reference": [position in chosen for position in positions],
        }
        labelled = batch.labels.numpy() >= 0
        for number, gauge in enumerate(self.plan.gauges):
            stick = clean.yardsticks[gauge.name]
            if number == 0:
                others = stick.others.cpu().numpy()
                columns["others"] = [int(n) if known else None for n, known in zip(others, labelled, strict=True)]
            columns[f"{gauge.name}.spread"] = nullable(stick.spread)
            columns[f"{gauge.name}.within"] = nullable(stick.within)
        return image_frame(batch, clean.prediction, clean.confidence, columns, self.infos)
