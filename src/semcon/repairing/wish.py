"""Wishes: what a network should be like, as rules on figures; measured on the selection split, never on the judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from semcon.core.errors import SemconError
from semcon.core.record import Estimate
from semcon.core.registry import load
from semcon.core.summary import Summary, to_estimates
from semcon.core.table import SampleTable
from semcon.loading import Batch
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.references import Index
from semcon.measuring.two_passes import two_passes
from semcon.neighbourhood import Neighbourhood
from semcon.progress import Silent
from semcon.subject import Subject
from semcon.training.pool import Pool

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Wish:
    """`quantity` (of `perturbation` at `severity`) `operator` `threshold`.

    Without a perturbation the quantity is `accuracy`, in points against the original: -1 is one point less.
    """

    text: str
    quantity: str
    perturbation: str | None
    severity: float | None
    operator: str
    threshold: float

    def shortfall(self, value: float) -> float:
        """How far a value misses the wish, 0 or less where it is met, in the quantity's unit."""
        return value - self.threshold if self.operator in ("<", "<=") else self.threshold - value

    def met(self, value: float) -> bool:
        """Whether a value meets it: strictly where the operator is strict."""
        missed = self.shortfall(value)
        return missed <= 0 if self.operator in ("<=", ">=") else missed < 0

    @property
    def scale(self) -> float:
        """What a shortfall is divided by where wishes are weighed against each other."""
        return abs(self.threshold) or 1.0


@dataclass(frozen=True)
class Standing:
    """What one look at the selection split found: a value and a standard error per wish, in its unit.

    `change`, `flip`: means over all that is looked at; not a number where they are undefined. A wish's own figure that
    is undefined there, as where a network says the same of every image, counts as infinitely far off.
    """

    values: tuple[float, ...]
    errors: tuple[float, ...]
    change: float
    flip: float
    accuracy: float

    def meets(self, wishes: Sequence[Wish]) -> bool:
        """Whether every wish is met by the estimate itself."""
        return all(wish.met(value) for wish, value in zip(wishes, self.values, strict=True))


def near_trials(near: Neighbourhood, wishes: Sequence[Wish]) -> tuple[Trial, ...]:
    """What the selection split is measured under: the wishes' severities, and each axis at its limit."""
    wanted: dict[str, tuple[Any, set[float]]] = {}
    for (name, part), limit in zip(near.parts, near.limits, strict=True):
        wanted.setdefault(name, (part, set()))[1].add(limit)
    for wish in wishes:
        if wish.perturbation is not None and wish.severity is not None:
            known = wanted.setdefault(wish.perturbation, (load("perturbations", wish.perturbation)(), set()))
            known[1].add(wish.severity)
    return tuple(Trial(name, part, tuple(sorted(severities))) for name, (part, severities) in wanted.items())


class Selection:
    """The selection split, looked at through a network in evaluation mode with the audit's own engine."""

    def __init__(self, pool: Pool, trials: tuple[Trial, ...], wishes: Sequence[Wish], plan: Plan) -> None:
        self.pool, self.wishes, self.plan = pool, tuple(wishes), plan
        self.trials = trials
        self.index = Index(pool.scan.ids, pool.labels.cpu())
        self.original: Integers | None = None

    @property
    def labelled(self) -> bool:
        """Whether accuracy is against labels; else it is agreement with the original."""
        return self.index.labelled

    def look(self, subject: Subject) -> Standing:
        """Measure. The first look is the original, which later ones are held against."""
        table = self._measured(subject)
        images = table.images.sort("position")
        predictions = images["prediction"].cast(int).to_numpy()
        first = self.original is None
        original = predictions if self.original is None else self.original
        self.original = original
        right = self._right(predictions, original)
        gain = 100 * (right - self._right(original, original))
        estimates = [
            one
            for figures in Summary(table, self.plan.seed, self.plan.primary.name, subsets="all").figures()
            for one in to_estimates(figures)
        ]
        found = [self._value(wish, gain, estimates, first=first) for wish in self.wishes]
        return Standing(
            tuple(value for value, _ in found), tuple(error for _, error in found),
            _mean(estimates, "relative_change", self.plan.primary.name), _mean(estimates, "flip", None),
            float(right.mean()),
        )  # fmt: skip

    def _right(self, predictions: Integers, original: Integers) -> npt.NDArray[np.float64]:
        truth = self.index.labels.numpy() if self.labelled else original
        return (predictions == truth).astype(np.float64)

    def _value(
        self, wish: Wish, gain: npt.NDArray[np.float64], estimates: Sequence[Estimate], *, first: bool
    ) -> tuple[float, float]:
        """Value and standard error. Errors: `SemconError` where the first look finds no such figure."""
        if wish.perturbation is None:
            return float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))
        reason: str | None = None
        for one in estimates:
            gauge = one.representation is None or f"{one.representation}.{one.distance}" == self.plan.primary.name
            if gauge and (one.perturbation, one.severity, one.quantity) == (
                wish.perturbation, wish.severity, wish.quantity
            ):  # fmt: skip
                if one.mean is not None and one.low is not None and one.high is not None:
                    return one.mean, (one.high - one.low) / 3.92
                reason = one.reason
        if not first:
            return (math.inf if wish.operator in ("<", "<=") else -math.inf), 0.0
        labels = None if self.labelled else "there are no labels"
        raise SemconError(
            f"the wish {wish.text!r} cannot be measured on the {len(self.index.ids)} images to select by: "
            f"{wish.quantity} is undefined{f' ({reason or labels})' if reason or labels else ''}"
        )

    def _measured(self, subject: Subject) -> SampleTable:
        parts: list[SampleTable] = []
        two_passes(self.plan, subject, self.index, self._read, skip=set(), keep=parts.append, progress=Silent())
        return SampleTable.concat(parts)

    def _read(self, rows: Sequence[int]) -> list[Batch]:
        index = torch.tensor(list(rows))
        size = 256
        return [
            Batch(self.pool.take(part), part, self.index.ids[part], self.index.labels[part], ("",) * len(part))
            for part in index.split(size)
        ]


def _mean(estimates: Sequence[Estimate], quantity: str, gauge: str | None) -> float:
    values = [
        one.mean
        for one in estimates
        if one.quantity == quantity
        and one.mean is not None
        and one.perturbation is not None
        and (gauge is None or f"{one.representation}.{one.distance}" == gauge)
    ]
    return float(np.mean(values)) if values else float("nan")
