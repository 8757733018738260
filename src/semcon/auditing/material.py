"""What an audit is asked for, and its images: the scan, labels as output indices, reading by position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from semcon.canvas import images_per_pass
from semcon.core.concepts import Dataset
from semcon.evaluating import Evaluation
from semcon.labelling import check_labels, outputs_of_classes
from semcon.loading import Batch, Scan, batches, fingerprint
from semcon.measuring.references import Index
from semcon.subject import Subject


@dataclass(frozen=True)
class Request:
    """What a recipe decides about an audit besides the subject and the data.

    `evaluations`: by name, as planned; at least one. `out`: the run folder. `accept`: told of the settled evaluations
    before anything is measured; may raise.
    """

    evaluations: Mapping[str, Evaluation]
    out: Path
    seed: int = 0
    classes_given: bool = False
    budget: str = "fast"
    limit: int | None = None
    batch_size: int | None = None
    workers: int | None = None
    resume: bool = False
    command: str = ""
    accept: Callable[[Mapping[str, Evaluation]], None] = lambda _: None


class Material:
    """The images of one audit: the scan, labels as output indices, and reading by position in the scan."""

    def __init__(self, subject: Subject, dataset: Dataset, scan: Scan, request: Request) -> None:
        self.subject, self.dataset, self.scan, self.request = subject, dataset, scan, request
        self.output_of_class: list[int] | None = None
        labels = scan.labels
        if bool((labels >= 0).all()):
            if dataset.classes is None:
                check_labels(labels.tolist(), subject.outputs)
            else:
                self.output_of_class = outputs_of_classes(
                    dataset.classes, subject.classes, subject.outputs, given=request.classes_given
                )
                labels = torch.tensor(self.output_of_class)[labels]
        else:
            labels = torch.full_like(labels, -1)
        self.index = Index(scan.ids, labels)
        canvas = subject.canvas
        self.batch_size = request.batch_size or images_per_pass(canvas.height, canvas.width, subject.device)

    @property
    def fingerprint(self) -> str:
        """A hash of images and labels, whatever their order."""
        return fingerprint(self.index.ids, self.index.labels)

    def read(self, rows: Sequence[int]) -> Iterable[Batch]:
        """Batches of the images at these rows of the scan; `Batch.positions` are rows of the scan."""
        return batches(
            self.dataset, self.subject.canvas, self.scan, rows, labels=self.index.labels,
            batch_size=self.batch_size, workers=self.request.workers,
        )  # fmt: skip

    def one(self, rows: Sequence[int]) -> Batch:
        """Some images as one batch."""
        return Batch.concat(list(self.read(rows)))

    def changing(self, images: int = 8) -> tuple[str, ...]:
        """Titles of those among some images, evenly spread, that are no longer what the scan read."""
        rows = range(0, len(self.scan.ids), max(1, len(self.scan.ids) // images))
        places = {int(self.scan.positions[row]): int(self.scan.ids[row]) for row in rows[:images]}
        return tuple(
            self.dataset.title(place) for place, seen in places.items() if self.dataset.identity(place) != seen
        )

    def output_names(self) -> tuple[str, ...]:
        """A name for every output: the model's, else the data's, else its number."""
        names = [str(number) for number in range(self.subject.outputs)]
        if self.subject.classes is not None:
            names = [name or number for name, number in zip(self.subject.classes, names, strict=True)]
        for output, name in zip(self.output_of_class or (), self.dataset.classes or (), strict=True):
            names[output] = name
        return tuple(names)
