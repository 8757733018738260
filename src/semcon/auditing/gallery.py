"""The paper's Figure 1 for this model: an image, its perturbed copy, and a same-class image that looks nearer to it.

A triple is evidence only where the other image is nearer in the representation though farther in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import Tensor

from semcon.core.concepts import Unit
from semcon.core.errors import keeping
from semcon.core.pictured import ExplainedEntry, GalleryEntry
from semcon.core.table import SampleTable
from semcon.evaluating import Pictured
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.eye import Eye, change_objective
from semcon.measuring.fitting import fitting
from semcon.measuring.plan import Trial
from semcon.measuring.references import References
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
    output_names: Sequence[str]
    folder: Path

    def make(self) -> list[GalleryEntry]:
        """The entries, pictures saved under `folder`; the largest relative change first."""
        with keeping(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        entries: list[GalleryEntry] = []
        for trial in self.eye.plan.trials:
            for severity, positions in self._choose(trial):
                shown = fitting(self.load(positions), partial(self._entries, trial, severity))
                entries += [entry for part in shown for entry in part]
        return sorted(entries, key=lambda entry: -(entry.relative or 0))

    def _choose(self, trial: Trial) -> list[tuple[float, list[int]]]:
        """The images to show: at the mildest severities that have triples, the largest changes, one per class first."""
        gauge = self.eye.plan.primary.name
        columns = {"change": f"{gauge}.change", "nearer": f"{gauge}.nearer"}
        drawn = (pl.col("perturbation") == trial.name) & (pl.col("draws") == "random") & (pl.col("draw") == 0)
        rows = self.table.rows.lazy().filter(drawn).select("position", "severity", **columns).collect()
        images, own = self.table.images, self.table.images["position"].to_numpy()
        order = np.argsort(own)
        places = order[np.searchsorted(own, rows["position"].to_numpy(), sorter=order)]
        rows = rows.with_columns(
            label=images["label"].gather(places), relative=pl.col("change") / images[f"{gauge}.spread"].gather(places)
        ).drop("change")
        middle = sorted(trial.severities)[len(trial.severities) // 2]
        nearer = rows.filter(pl.col("nearer").fill_null(0) > 0)
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
    def _entries(self, trial: Trial, severity: float, batch: Batch) -> list[GalleryEntry]:
        x = batch.x.to(self.eye.subject.device)
        unit = trial.perturbation.sample(Keys(batch.ids, self.eye.plan.seed, 0, trial.name, x.device), x)
        context = batch.context(x.device)
        copies = [("random", trial.perturbation(x, unit, severity, context))]
        if self.eye.plan.worst is not None and trial.perturbation.parameters != "fixed":
            copies.append(("worst", self._worst(trial, severity, batch, x)))
        clean = self._look(x)
        entries: list[GalleryEntry] = []
        for draws, copy in copies:
            looked = self._look(copy)
            change = self.eye.plan.primary.distance(clean.vector, looked.vector)
            other = self._nearer(batch, clean, change, (copy - x).flatten(1).norm(dim=1))
            for row in range(len(x)):
                stem = f"{trial.name}-{severity:g}-{draws}-{int(batch.positions[row])}"
                entries.append(self._entry(trial, severity, draws, batch, clean, looked, change, other, row, stem))
        return entries

    def _look(self, x: Tensor) -> _Look:
        view = self.eye.view(x)
        gauge = self.eye.plan.primary
        vector = gauge.representation(view).flatten(1).float()
        probability = view.logits.softmax(1)
        return _Look(x, vector, probability, view.logits.argmax(1))

    def _nearer(self, batch: Batch, clean: _Look, change: Tensor, moved: Tensor) -> list[_Other | None]:
        """Per image the same-class reference nearest in the representation among those farther in pixels than the copy.

        None where no reference of the class is nearer than the copy; where all that are nearer are nearer in pixels
        too, the nearest of them.
        """
        gauge, references = self.eye.plan.primary, self.references
        vectors = references.vectors[gauge.representation.name]
        own = self.eye.sketch({gauge.representation.name: clean.vector})[gauge.representation.name]
        distance = gauge.distance.pairwise(own, vectors)
        labels, ids = batch.labels.to(vectors.device), batch.ids.to(vectors.device)
        same = (references.labels == labels[:, None]) & (references.ids != ids[:, None]) & (labels[:, None] >= 0)
        nearer = same & (distance < change[:, None])
        found: list[_Other | None] = []
        for row in range(len(change)):
            candidates = torch.nonzero(nearer[row]).flatten()
            if not len(candidates):
                found.append(None)
                continue
            nearest = candidates[distance[row, candidates].argsort()][:24]
            others = self.load(references.positions[nearest.cpu()].tolist())
            pixels = (others.x.to(vectors.device) - clean.x[row]).flatten(1).norm(dim=1)
            farther = torch.nonzero(pixels > moved[row]).flatten()
            pick = int(farther[0]) if len(farther) else 0
            found.append(
                _Other(
                    int(others.positions[pick]), others.titles[pick], others.x[pick],
                    float(distance[row, nearest[pick]]), float(pixels[pick]), bool(len(farther)),
                )
            )  # fmt: skip
        return found

    def _worst(self, trial: Trial, severity: float, batch: Batch, x: Tensor) -> Tensor:
        """The worst change found again, by the plan's own search."""
        plan = self.eye.plan
        objective = change_objective(self.eye, self.eye.vectors(self.eye.view(x)))

        def draw(number: int) -> Unit:
            return trial.perturbation.sample(Keys(batch.ids, plan.seed, number, trial.name, x.device), x)

        context = batch.context(x.device)
        known = [objective(trial.perturbation(x, draw(number), severity, context)) for number in range(plan.draws)]
        best = worst_case(
            trial.perturbation, x, severity, draw, objective=objective, settings=plan.worst or SearchSettings(),
            gradients=self.eye.subject.differentiable, known=known, context=context,
        )  # fmt: skip
        return trial.perturbation(x, best.unit, severity, context)

    def _entry(
        self, trial: Trial, severity: float, draws: str, batch: Batch, clean: _Look, looked: _Look, change: Tensor,
        others: list[_Other | None], row: int, stem: str,
    ) -> GalleryEntry:  # fmt: skip
        other = others[row]
        label = int(batch.labels[row])
        position = int(batch.positions[row])
        gauge = self.eye.plan.primary.name
        spread = self.table.images.filter(pl.col("position") == position)[f"{gauge}.spread"][0]
        pictures = {"image": clean.x[row], "copy": looked.x[row]} | ({"other": other.canvas} if other else {})
        own = int(clean.prediction[row])
        return GalleryEntry(
            perturbation=trial.name, severity=severity, draws="worst" if draws == "worst" else "random", draw=0,
            class_name=self.output_names[label] if label >= 0 else None, sample=int(batch.ids[row]), position=position,
            other_position=other.position if other else None, title=batch.titles[row],
            other_title=other.title if other else None, gauge=gauge, change=float(change[row]),
            other_distance=other.distance if other else None,
            pixel_change=float((looked.x[row] - clean.x[row]).norm()), pixel_other=other.pixels if other else None,
            relative=float(change[row]) / spread if spread else None, figure1=bool(other and other.farther),
            prediction=self.output_names[own], prediction_copy=self.output_names[int(looked.prediction[row])],
            prediction_other=self._predicted(other), confidence=float(clean.probability[row, own]),
            confidence_copy=float(looked.probability[row, int(looked.prediction[row])]),
            files={role: self._saved(f"{stem}-{role}", canvas) for role, canvas in pictures.items()},
        )  # fmt: skip

    def _predicted(self, other: _Other | None) -> str | None:
        if other is None:
            return None
        return self.output_names[int(self.eye.subject(other.canvas[None].to(self.eye.subject.device)).argmax())]

    def _saved(self, stem: str, canvas: Tensor) -> str:
        return saved(self.folder, stem, canvas)


@dataclass(frozen=True)
class _Look:
    x: Tensor
    vector: Tensor
    probability: Tensor
    prediction: Tensor


@dataclass(frozen=True)
class _Other:
    position: int
    title: str
    canvas: Tensor
    distance: float
    pixels: float
    farther: bool


def explained(folder: Path, pictures: Sequence[Pictured], names: Sequence[str]) -> tuple[ExplainedEntry, ...]:
    """The entries of a gallery of explanations, their pictures saved; an image's own stand once for all methods.

    `names`: of the outputs.
    """
    if pictures:
        with keeping(folder):
            folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    entries: list[ExplainedEntry] = []
    for one in pictures:
        entry, own = one.entry, {}
        for role, canvas in one.tiles.items():
            of_method = "" if role in ("image", "copy") else f"-{entry.method}"
            stem = f"explained-{entry.perturbation}-{entry.severity:g}-{entry.sample}{of_method}-{role}"
            if stem not in files:
                files[stem] = saved(folder, stem, canvas)
            own[role] = files[stem]
        said = {one: names[int(getattr(entry, one))] for one in ("prediction", "prediction_copy")}
        entries.append(entry.model_copy(update={"files": own} | said))
    return tuple(entries)


def saved(folder: Path, stem: str, canvas: Tensor) -> str:
    """A canvas (3, H, W) as a picture, by its path in the run; JPEG where large: the report embeds them all."""
    image = picture(canvas)
    name = f"{stem}.png" if max(image.size) <= 64 else f"{stem}.jpg"
    with keeping(folder):
        image.save(folder / name, quality=88)
    return f"{folder.name}/{name}"


def picture(canvas: Tensor) -> Image.Image:
    """A canvas (3, H, W) as an image of at most 160 pixels a side."""
    pixels = (canvas.clamp(0, 1).permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return image
