"""What a repair is asked for, what it works on and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from semcon.core.concepts import Dataset
from semcon.core.training_record import NetworkRecord
from semcon.loading import Scan, fingerprint
from semcon.measuring.plan import Plan
from semcon.neighbourhood import Neighbourhood
from semcon.repairing.wish import Wish


@dataclass(frozen=True)
class Images:
    """A data set as it was scanned, with labels as output indices, -1 without."""

    dataset: Dataset
    scan: Scan
    labels: Tensor

    @property
    def fingerprint(self) -> str:
        """A hash of images and labels, whatever their order."""
        return fingerprint(self.scan.ids, self.labels)

    def part(self, rows: Tensor) -> Images:
        """Some of them, by row."""
        return Images(self.dataset, self.scan.part(rows), self.labels[rows])


@dataclass(frozen=True)
class RepairRequest:
    """What a recipe decides about a repair. `plan`: of the judge's audits, without gauges.

    `neighbourhood`: None chooses. The other fields are those of `semcon.RepairRecipe`.
    """

    wishes: tuple[Wish, ...]
    plan: Plan
    neighbourhood: Neighbourhood | None
    network: NetworkRecord
    recipe: dict[str, Any]
    out: Path
    epochs: float | None = None
    batch_size: int = 128
    learning_rate: float = 0.02
    clip: float | None = None
    alpha: float = 4.0
    copies: float = 1.0
    share: float = 1.0
    looks: int = 12
    seed: int = 0
    weights: str | None = None
    workers: int | None = None
    resume: bool = False
    classes_given: bool = False
    budget: str = "fast"
    command: str = ""


@dataclass(frozen=True)
class Repaired:
    """A finished repair. `before` and `after`: folders of the judge's audits; `weights`: in the form they came in.

    `frontier`: the points that no other beats in both change and accuracy, a line each.
    """

    folder: Path
    before: Path
    after: Path
    weights: Path
    met: bool
    sentence: str
    frontier: tuple[str, ...]
