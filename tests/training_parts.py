"""A training of a second: data, network, objective and settings, and displays that interrupt it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semcon.canvas import Canvas
from semcon.constraint import ContinuityConstraint, Options
from semcon.core.concepts import Objective
from semcon.datasets import Arrays
from semcon.loading import scan
from semcon.objectives import Continuity
from semcon.progress import Silent
from semcon.training.loop import Trained, train
from semcon.training.pool import Pool
from semcon.training.settings import Settings
from semcon.training.student import Student
from small_networks import normed

COUNT, SIDE, CLASSES = 50, 8, 4
SETTINGS = Settings(
    30, 16, learning_rate=0.02, average=0.9, augment=(("translation", 10.0), ("horizontal_flip", 1.0)), clip=1.0,
    accelerator="cpu", checkpoint_seconds=0.0, seed=3,
)  # fmt: skip


def dataset(count: int = COUNT, *, floats: bool = False) -> Arrays:
    """Bright corners: one of four, under noise."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 160, (count, SIDE, SIDE, 3))
    classes = np.arange(count) % CLASSES
    for image, label in zip(pixels, classes, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 90
    return Arrays((pixels / 250.5).astype(np.float32) if floats else pixels.astype(np.uint8), classes)


def pool(data: Any = None) -> Pool:
    data = dataset() if data is None else data
    scanned = scan(data, workers=1)
    return Pool(data, Canvas(SIDE, SIDE), scanned, scanned.labels, device=torch.device("cpu"), workers=1)


def fresh() -> Student:
    """Batch norm and dropout inside."""
    return Student(normed(CLASSES, dropout=0.2), mean=(0.4,), std=(0.3,), penultimate="6")


def continuity() -> Objective:
    options = Options(share=0.5, ramp=10)
    return Continuity(ContinuityConstraint(["gaussian_noise", "brightness"], "l2", severity=0.2, options=options))


class Interrupting(Silent):
    """Ctrl-C when so many steps of this part of the run are done; never where None."""

    def __init__(self, after: int | None) -> None:
        self.left = after

    def advance(self, amount: float) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                raise KeyboardInterrupt


class Pressing(Interrupting):
    """A real Ctrl-C there."""

    def advance(self, amount: float) -> None:
        try:
            super().advance(amount)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)


def run(
    folder: Path, settings: Settings = SETTINGS, *, after: int | None = None, images: Pool | None = None,
    objective: Objective | None = None, student: Student | None = None, observer: Any = None,
) -> Trained:  # fmt: skip
    """The training, or its rest, in a folder."""
    folder.mkdir(exist_ok=True)
    return train(
        student or fresh(), images or pool(), objective or continuity(), settings, folder=folder,
        progress=Interrupting(after), observer=observer,
    )  # fmt: skip


def weights(trained: Trained) -> dict[str, Tensor]:
    return dict(trained.student.network.state_dict())


def with_(settings: Settings = SETTINGS, **changes: Any) -> Settings:
    return replace(settings, **changes)


@contextmanager
def logging_every(steps: int, patch: Any) -> Iterator[None]:
    """Lines of metrics more often."""
    with patch.context() as context:
        context.setattr("semcon.training.loop.LOG_EVERY", steps)
        yield
