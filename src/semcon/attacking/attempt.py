"""One attack as an evaluation plans it: where it moves, how far, by what method, at what cost."""

from __future__ import annotations

from dataclasses import dataclass

from semcon.core.concepts import Perturbation
from semcon.core.record import PerturbationRecord
from semcon.core.registry import load

SOURCES = {"fgsm_linf": "arXiv 1412.6572", "square_linf": "arXiv 1912.00049", "autoattack_linf": "arXiv 2003.01690"}


@dataclass(frozen=True)
class Attempt:
    """`name`: as in the rows. `space`: the perturbation whose copies it chooses from. `passes`: forward, per image."""

    name: str
    space: str
    ladder: tuple[float, ...]
    method: str
    passes: float

    @property
    def perturbation(self) -> Perturbation:
        """Where it moves."""
        return load("perturbations", self.space)()

    def record(self, draws: int) -> PerturbationRecord:
        """As the record of a run keeps it."""
        one = self.perturbation
        return PerturbationRecord(
            name=self.name, family=one.family, unit=one.unit, source=SOURCES.get(self.name, one.source), kind=one.kind,
            parameters=one.parameters, version=one.version, severities=self.ladder, draws=draws,
        )  # fmt: skip
