"""Perturbation sequences: an image that changes a little from frame to frame, and how the prediction flickers.

In the manner of ImageNet-P (Hendrycks and Dietterich, arXiv 1903.12261), made from the audit's own perturbations. Noise
is drawn anew for every frame and held against the untouched image; elsewhere one parameter moves in equal steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from semcon.core.concepts import Perturbation
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.subject import Subject

DRAWS = "sequence"  # in the table's column `draws`; `draw` is the frame


@dataclass(frozen=True)
class Sequence:
    """`severity`: of every frame, or of the last one where it is the severity that moves, from `start` on.

    `moves`: "draw" (noise: each frame is held against the first, untouched one), "severity", or the unit parameter that
    goes from -1 to 1 (its first number; the others of it are 0); these two are held against the frame before.
    """

    name: str
    severity: float
    moves: str
    start: float = 0.0

    @property
    def perturbation(self) -> Perturbation:
        """What is done to each frame."""
        return load("perturbations", self.name)()

    def frames(self, x: Tensor, ids: Tensor, seed: int, count: int) -> Iterable[Tensor]:
        """`count` frames of every image, (B, 3, H, W) each; the first of a noise sequence is the untouched image."""
        perturbation, scope = self.perturbation, f"sequence.{self.name}"
        for frame in range(count):
            share = frame / (count - 1)
            if self.moves == "draw":
                unit = perturbation.sample(Keys(ids, seed, frame, scope, x.device), x)
                yield perturbation(x, unit, self.severity if frame else 0.0)
            elif self.moves == "severity":
                unit = perturbation.sample(Keys(ids, seed, 0, scope, x.device), x)
                yield perturbation(x, unit, self.start + (self.severity - self.start) * share)
            else:
                unit = perturbation.sample(Keys(ids, seed, 0, scope, x.device), x)
                value = torch.zeros_like(unit[self.moves])
                value.view(len(value), -1)[:, 0] = 2 * share - 1
                yield perturbation(x, unit | {self.moves: value}, self.severity)


SEQUENCES = (
    Sequence("gaussian_noise", 0.03, "draw"),
    Sequence("shot_noise", 0.45, "draw"),
    Sequence("motion_blur", 3.0, "severity", start=1.0),
    Sequence("zoom_blur", 4.0, "severity", start=2.0),
    Sequence("snow", 1.0, "severity", start=0.1),
    Sequence("brightness", 0.3, "shift"),
    Sequence("translation", 9.0, "shift"),
    Sequence("rotation", 15.0, "angle"),
    Sequence("tilt", 15.0, "angle"),
    Sequence("scale", 0.3, "shift"),
)
"""The ten of ImageNet-P: noise, blur, weather, light and geometry.

Every frame differs from the one before, at every size. So blur and snow grow between two levels: a ray that turns is
rounded to pixels, and a zoom by less than a pixel is none, and either would stand still for some steps in small images.
"""


def frame_rows(
    subject: Subject, batch: Batch, sequences: Iterable[Sequence], frames: int, seed: int,
    advance: Callable[[float], None],
) -> pl.DataFrame:  # fmt: skip
    """A row per image, sequence and frame: position, perturbation, draws, draw (the frame), method, prediction."""
    x = batch.x.to(subject.device)
    found: list[pl.DataFrame] = []
    for sequence in sequences:
        predictions: list[Tensor] = []
        with torch.no_grad():
            for frame in sequence.frames(x, batch.ids, seed, frames):
                predictions.append(subject(frame).argmax(1))
                advance(len(x))
        found.append(_rows(sequence, batch, torch.stack(predictions).cpu()))
    return pl.concat(found)


def _rows(sequence: Sequence, batch: Batch, predictions: Tensor) -> pl.DataFrame:
    """`predictions`: (frames, B)."""
    frames, images = predictions.shape
    return pl.DataFrame(
        {
            "position": batch.positions.repeat(frames).numpy(),
            "perturbation": [sequence.name] * (frames * images),
            "draws": [DRAWS] * (frames * images),
            "draw": torch.arange(frames).repeat_interleave(images).to(torch.int16).numpy(),
            "method": [sequence.moves] * (frames * images),
            "prediction": predictions.flatten().to(torch.int32).numpy(),
        }
    )
