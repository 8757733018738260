"""The paper's Figure 1 for this model: an image, its perturbed copy, and a same-class image that looks nearer to it.

A triple is evidence only where the other image is nearer in the representation though farther in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import Tensor

from semcon.core.concepts import Unit
from semcon.core.record import GalleryEntry
from semcon.core.table import SampleTable
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measure import Eye, Trial, change_objective
from semcon.references import References
from semcon.search import SearchSettings, worst_case

PER_PERTURBATION = 4
THUMBNAIL = 160


@dataclass(frozen=True)
class Gallery:
    """Chooses, looks again (draws are keyed, so the copies are the same) and saves the pictures."""

    eye: Eye
    references: References
    table: SampleTable
    load: Callable[[Sequence[int]], Batch]
    class_names: Sequence[str]
    output_names: Sequence[str]
    folder: Path

    def make(self) -> list[GalleryEntry]:
        """The entries, pictures saved under `folder`; the largest relative change first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        entries: list[GalleryEntry] = []
        for trial in self.eye.plan.trials:
            for severity, positions in self._choose(trial):
                entries += self._entries(trial, severity, positions)
        return sorted(entries, key=lambda entry: -(entry.relative or 0))

    def _choose(self, trial: Trial) -> list[tuple[float, list[int]]]:
        """The images to show: at the mildest severities that have triples, the largest changes, one per class first."""
        gauge = self.eye.plan.primary.name
        rows = self.table.rows.filter(
            (pl.col("perturbation") == trial.name) & (pl.col("draws") == "random") & (pl.col("draw") == 0)
        ).join(self.table.images.select("position", "label", f"{gauge}.spread"), on="position")
        rows = rows.with_columns(relative=pl.col(f"{gauge}.change") / pl.col(f"{gauge}.spread"))
        middle = sorted(trial.severities)[len(trial.severities) // 2]
        nearer = rows.filter(pl.col(f"{gauge}.nearer").fill_null(0) > 0)
        chosen: list[tuple[float, list[int]]] = []
        left = PER_PERTURBATION
        for severity in sorted(trial.severities):
            here = nearer.filter(pl.col("severity") == severity)
            if severity >= middle and here.is_empty() and left == PER_PERTURBATION:
                here = rows.filter(pl.col("severity") == severity)
            quota = left if severity == max(trial.severities) else min(left, 2)
            best = here.sort("relative", "position", descending=[True, False]).unique(
                "label", keep="first", maintain_order=True
            )
            positions = best["position"].to_list()[:quota]
            if positions:
                chosen.append((severity, positions))
                left -= len(positions)
            if left <= 0:
                break
        return chosen

    @torch.no_grad()
    def _entries(self, trial: Trial, severity: float, positions: list[int]) -> list[GalleryEntry]:
        batch = self.load(positions)
        x = batch.x.to(self.eye.subject.device)
        unit = trial.perturbation.sample(Keys(batch.ids.to(x.device), self.eye.plan.seed, 0, trial.name), x)
        copies = [("random", trial.perturbation(x, unit, severity))]
        if self.eye.plan.worst is not None and trial.perturbation.parameters != "fixed":
            copies.append(("worst", self._worst(trial, severity, batch, x)))
        entries: list[GalleryEntry] = []
        for draws, copy in copies:
            looked = self.eye.vectors(self.eye.view(copy)), self.eye.subject(copy)
            for row in range(len(x)):
                entries.append(self._entry(trial, severity, draws, batch, x, copy, looked, row))
        return entries

    def _worst(self, trial: Trial, severity: float, batch: Batch, x: Tensor) -> Tensor:
        """The worst change found again, by the plan's own search."""
        plan, ids = self.eye.plan, batch.ids.to(x.device)
        objective = change_objective(self.eye, self.eye.vectors(self.eye.view(x)))

        def draw(number: int) -> Unit:
            return trial.perturbation.sample(Keys(ids, plan.seed, number, trial.name), x)

        known = [objective(trial.perturbation(x, draw(number), severity)) for number in range(plan.draws)]
        best = worst_case(
            trial.perturbation, x, severity, draw, objective=objective, settings=plan.worst or SearchSettings(),
            gradients=self.eye.subject.differentiable, known=known,
        )  # fmt: skip
        return trial.perturbation(x, best.unit, severity)

    def _entry(
        self, trial: Trial, severity: float, draws: str, batch: Batch, x: Tensor, copy: Tensor,
        looked: tuple[dict[str, Tensor], Tensor], row: int,
    ) -> GalleryEntry:  # fmt: skip
        return GalleryEntry()


def picture(canvas: Tensor) -> Image.Image:
    """A canvas (3, H, W) as an image of at most 160 pixels a side."""
    pixels = (canvas.clamp(0, 1).permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return image
