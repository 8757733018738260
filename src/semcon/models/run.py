"""Run: a network that semcon trained or repaired, from its run folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from semcon.built import Built, Preprocessing
from semcon.canvas import Canvas
from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.core.training_record import read_training
from semcon.weights import load_weights


@dataclass(frozen=True)
class Run:
    """`path`: the run folder; its network is built as it was for training and gets the trained weights."""

    path: str
    weights: str | None = None

    def build(self) -> Built:
        """With the preprocessing and classes of the training. Errors: `SemconError` for a folder without a network."""
        folder = Path(self.path)
        record = read_training(folder)
        fields = dict(record.network.fields)
        if record.network.kind == "module":
            raise SemconError(
                f"{folder} was trained from a {fields['model']} in memory, which semcon cannot build again: load "
                f"{folder / record.weights} into it and give that model"
            )
        built: Built = load("models", record.network.kind)(**fields).build()
        weights = self.weights or str(folder / record.weights)
        if built.model is None or not hasattr(built.model, "load_state_dict"):
            raise SemconError(f"{folder} holds no network with weights")
        load_weights(built.model, weights)  # type: ignore[arg-type]
        canvas = record.canvas
        preprocessing = Preprocessing(
            Canvas(canvas.height, canvas.width, canvas.resize, canvas.interpolation, canvas.crop),
            record.mean, record.std, "training run",
        )  # fmt: skip
        return replace(
            built, name=folder.name, source=f"run:{self.path}", preprocessing=preprocessing, classes=record.classes,
            weights=self.weights, training=record.training,
        )  # fmt: skip
