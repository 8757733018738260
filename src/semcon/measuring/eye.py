"""A look at images through a subject: flat vectors per representation; the first pass over the references."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from semcon.core.concepts import Gauge, View
from semcon.core.record import GaugeInfo
from semcon.loading import Batch
from semcon.measuring.fitting import fitting, nothing
from semcon.measuring.image_rows import not_finite
from semcon.measuring.plan import Plan
from semcon.measuring.projection import SIZE, Projection
from semcon.measuring.references import References
from semcon.subject import Subject


class Eye:
    """Looks at a canvas through a subject: flat vectors per representation, sketched where distances to many count.

    Only plain vectors are sketched: the places of logits and probabilities are classes, which a sketch would mix.
    """

    def __init__(self, subject: Subject, plan: Plan) -> None:
        self.subject, self.plan = subject, plan
        self.gauges = {gauge.representation.name: gauge for gauge in plan.gauges}

    def view(self, x: Tensor) -> View:
        """One forward pass with the layers that the gauges read."""
        return self.subject.view(x, self.plan.layers)

    def vectors(self, view: View) -> dict[str, Tensor]:
        """(B, D) float32 per representation."""
        return {name: gauge.representation(view).flatten(1).to(torch.float32) for name, gauge in self.gauges.items()}

    def sketch(self, vectors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same, plain vectors of more than 4096 elements projected."""
        return {name: self.projection(name, value.shape[1])(value) for name, value in vectors.items()}

    def projection(self, name: str, dimension: int) -> Projection:
        """The seeded projection for the vectors of a representation: the identity up to 4096, and for classes."""
        whole = self.gauges[name].representation.gives != "vector"
        return Projection(dimension, self.plan.seed, size=dimension if whole else SIZE)


def look_at_references(
    eye: Eye, batches: Iterable[Batch], references: References, note: Callable[[str], None] = nothing
) -> list[GaugeInfo]:
    """First pass: fill in the references' vectors (in their own order) and describe the gauges."""
    order = {position: row for row, position in enumerate(references.positions.tolist())}

    def look(batch: Batch) -> list[GaugeInfo]:
        x = batch.x.to(eye.subject.device)
        with torch.no_grad():
            vectors = eye.vectors(eye.view(x))
        check_finite(batch, vectors)
        rows = torch.tensor([order[position] for position in batch.positions.tolist()], device=x.device)
        for name, value in eye.sketch(vectors).items():
            if name not in references.vectors:
                references.vectors[name] = value.new_zeros(len(references.positions), value.shape[1])
            references.vectors[name][rows] = value
        return [_describe(eye, gauge, vectors[gauge.representation.name]) for gauge in eye.plan.gauges]

    infos: list[GaugeInfo] = []
    for batch in batches:
        infos, *_ = fitting(batch, look, note)
    return infos


def check_finite(batch: Batch, vectors: dict[str, Tensor]) -> None:
    """Errors: `SemconError` naming the first representation and the images for which it is NaN or infinite."""
    bad = {name: ~value.sum(1).isfinite() for name, value in vectors.items()}
    for name, images in bad.items():
        if bool(images.any()):
            raise not_finite(batch, images, name, "untouched")


def _describe(eye: Eye, gauge: Gauge, vectors: Tensor) -> GaugeInfo:
    projection = eye.projection(gauge.representation.name, vectors.shape[1])
    return GaugeInfo(
        name=gauge.name,
        representation=gauge.representation.name,
        distance=gauge.distance_name,
        dimension=vectors.shape[1],
        projected=projection.size if projection.active else None,
        projection_error=projection.error if projection.active else None,
        homogeneous=gauge.distance.homogeneous and gauge.representation.gives != "probabilities",
    )


def change_objective(eye: Eye, clean: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """The change of the primary gauge, as a function of the perturbed canvas."""
    gauge = eye.plan.primary
    target = clean[gauge.representation.name]

    def change(copy: Tensor) -> Tensor:
        return gauge.distance(target, gauge.representation(eye.subject.view(copy)).flatten(1).float())

    return change
