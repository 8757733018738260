"""Neighbourhood: the semantic neighbours of an image, as perturbations with their limits; drawn, or searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from semcon.chain import Chain
from semcon.core.concepts import Perturbation, Unit
from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.search import SearchSettings, worst_case

Named = str | Perturbation
Farness = Callable[[Tensor, Tensor], Tensor]
"""Rows (M,) of the batch and their copies (M, 3, H, W) -> what a search maximises, (M,)."""


@dataclass(frozen=True)
class Neighbourhood:
    """Named perturbations with the severity each goes up to.

    `severities`: "uniform" draws each sample's severity up to the limit, "fixed" takes the limit. With several
    perturbations every sample gets one of them, chosen by its key.
    """

    parts: tuple[tuple[str, Perturbation], ...]
    limits: tuple[float, ...]
    severities: Literal["uniform", "fixed"] = "uniform"

    @classmethod
    def of(
        cls, perturbations: Named | Sequence[Named], severity: float | Sequence[float] | None = None,
        *, severities: Literal["uniform", "fixed"] = "uniform", chain: bool = False,
    ) -> Neighbourhood:  # fmt: skip
        """From names or `Perturbation`s and one severity, or one each; None takes the fourth rung of each ladder.

        `chain`: all of them one after the other, in place of one per sample. Errors: `SemconError` for a severity that
        its perturbation refuses, or 0.
        """
        given = [perturbations] if isinstance(perturbations, str | Perturbation) else list(perturbations)
        if not given:
            raise SemconError("expected at least one perturbation, got none")
        parts = tuple(_named(one) for one in given)
        limits = tuple(_limits(parts, severity))
        if chain and len(parts) > 1:
            return cls((("chain", Chain(parts, limits)),), (1.0,), severities)
        return cls(parts, limits, severities)

    def scaled(self, factor: float) -> Neighbourhood:
        """The same with every limit times `factor`, as far as each perturbation goes; whole where it must be."""
        chain = self.parts[0][1]
        if isinstance(chain, Chain):
            longer = Chain(chain.parts, _scaled(chain.parts, chain.limits, factor))
            return Neighbourhood(((self.parts[0][0], longer),), self.limits, self.severities)
        return Neighbourhood(self.parts, _scaled(self.parts, self.limits, factor), self.severities)

    def search_passes(self, settings: SearchSettings) -> float:
        """Forward passes that `worst` takes per image, as the mean over the perturbations."""
        each = [settings.passes(part, gradients=settings.steps > 0) for _, part in self.parts]
        return sum(each) / len(each)

    @torch.no_grad()
    def draw(self, x: Tensor, keys: Keys) -> Tensor:
        """One neighbour of each image, (B, 3, H, W) -> the same shape."""
        made = torch.empty_like(x)
        for number, rows in self._members(keys):
            if len(rows):
                mine = keys.of(rows)
                severity = self._severity(number, mine, x)
                made[rows] = self._perturbation(number)(x[rows], self._unit(number, mine, x[rows], 0), severity)
        return made

    @torch.no_grad()
    def worst(self, x: Tensor, keys: Keys, farness: Farness, settings: SearchSettings) -> Tensor:
        """The farthest neighbour found of each image: gradient search where there are `steps` and a bounded set,
        else the best of `best_of` draws. The random draw is among the candidates.
        """
        made = torch.empty_like(x)
        for number, rows in self._members(keys):
            if not len(rows):
                continue
            perturbation, part, mine = self._perturbation(number), x[rows], keys.of(rows)
            severity = self._severity(number, mine, x)

            def draw(candidate: int, number: int = number, mine: Keys = mine, part: Tensor = part) -> Unit:
                return self._unit(number, mine, part, candidate)

            def far(copy: Tensor, rows: Tensor = rows) -> Tensor:
                return farness(rows, copy)

            best = worst_case(
                perturbation, part, severity, draw, objective=far, settings=settings, gradients=settings.steps > 0,
                known=[far(perturbation(part, draw(0), severity))],
            )  # fmt: skip
            made[rows] = perturbation(part, best.unit, severity)
        return made

    def _perturbation(self, number: int) -> Perturbation:
        return self.parts[number][1]

    def _unit(self, number: int, keys: Keys, x: Tensor, candidate: int) -> Unit:
        name = self.parts[number][0]
        return self._perturbation(number).sample(keys.within(f"{name}.{candidate}" if candidate else name), x)

    def _members(self, keys: Keys) -> Iterator[tuple[int, Tensor]]:
        """Which rows each perturbation works on, as indices on the CPU: how many they are is known without waiting."""
        everyone = torch.arange(len(keys.ids), device="cpu")
        if len(self.parts) == 1:
            yield 0, everyone
            return
        choice = (keys.here().within("which").uniform("part") * len(self.parts)).long()
        for number in range(len(self.parts)):
            yield number, everyone[choice == number]

    def _severity(self, number: int, keys: Keys, like: Tensor) -> Tensor:
        """(M,) in the perturbation's unit."""
        kind, limit = self._perturbation(number).kind, self.limits[number]
        uniform = keys.within("severity").uniform("severity").to(like)
        if self.severities == "fixed" or kind == "binary":
            return torch.full_like(uniform, limit)
        return uniform * limit if kind == "continuous" else (uniform * limit).ceil()


def _named(perturbation: Named) -> tuple[str, Perturbation]:
    if isinstance(perturbation, str):
        return perturbation, load("perturbations", perturbation)()
    return type(perturbation).__name__, perturbation


def _scaled(parts: Sequence[tuple[str, Perturbation]], limits: Sequence[float], factor: float) -> tuple[float, ...]:
    wanted = [min(limit * factor, part.maximum) for limit, (_, part) in zip(limits, parts, strict=True)]
    return tuple(
        value if part.kind == "continuous" else max(1.0, float(round(value)))
        for value, (_, part) in zip(wanted, parts, strict=True)
    )


def _limits(parts: Sequence[tuple[str, Perturbation]], given: float | Sequence[float] | None) -> list[float]:
    if given is None:
        return [float(part.ladder[min(3, len(part.ladder) - 1)]) for _, part in parts]
    values = [float(given)] * len(parts) if isinstance(given, int | float) else [float(value) for value in given]
    if len(values) != len(parts):
        raise SemconError(f"expected one severity, or {len(parts)} for as many perturbations, got {len(values)}")
    checked = [part.check_severity(value) for (_, part), value in zip(parts, values, strict=True)]
    if min(checked) == 0:
        raise SemconError("severity 0 is the untouched image: expected one above 0")
    return checked
