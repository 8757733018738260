"""Torchvision: a classification network by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from semcon.built import Built, Preprocessing
from semcon.weights import load_weights
from semcon.canvas import Canvas
from semcon.core.errors import SemconError, UnknownNameError
from semcon.torchvision_import import import_torchvision


@dataclass(frozen=True)
class Torchvision:
    """`weights`: None downloads torchvision's default weights, "none" keeps random ones, else a file.

    Preprocessing and class names are those of the default weights, whatever weights are loaded.
    """

    name: str
    weights: str | None = None

    def build(self) -> Built:
        """Errors: `UnknownNameError` with near names; `SemconError` where weights cannot be fetched."""
        models = import_torchvision("torchvision.models")
        if self.name not in models.list_models(module=models):
            raise UnknownNameError("torchvision model", self.name, models.list_models(module=models))
        default = next(iter(models.get_model_weights(self.name)), None)
        default = getattr(models.get_model_weights(self.name), "DEFAULT", default)
        try:
            network = models.get_model(self.name, weights=default if self.weights is None else None)
        except OSError as error:
            raise SemconError(
                f"cannot fetch the weights of torchvision:{self.name} ({error}): give --weights FILE, or --weights none"
            ) from None
        if self.weights is not None:
            load_weights(network, self.weights)
        names = None if default is None else tuple(default.meta["categories"])
        preprocessing = None if default is None else _preprocessing(default)
        return Built(
            network.eval(), self.name, f"torchvision:{self.name}", preprocessing, names,
            weights=self.weights or str(default),
        )  # fmt: skip


def _preprocessing(weights: Any) -> Preprocessing:
    transform = weights.transforms()
    crop, resize = transform.crop_size[0], transform.resize_size[0]
    canvas = Canvas(crop, crop, resize=resize, interpolation=transform.interpolation.value)
    return Preprocessing(canvas, tuple(transform.mean), tuple(transform.std), "torchvision weights")
