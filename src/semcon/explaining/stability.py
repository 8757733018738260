"""What becomes of an explanation under a perturbation: the map of the copy against the image's, carried along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Explanation
from semcon.core.explained import LIKENESS, OF_COPIES
from semcon.core.registry import file_name
from semcon.explaining.likeness import likeness
from semcon.keyed import Keys
from semcon.measuring.fitting import nothing
from semcon.measuring.trial_run import Drawn
from semcon.subject import Subject

SCOPE = "explanation"
HALF = 0.5
"""A map has moved where fewer than this share of its most important pixels are still the most important ones."""


def columns(explanations: Sequence[Explanation]) -> tuple[str, ...]:
    """What `Steadiness` measures, in its order."""
    return tuple(f"{file_name(type(one))}.{quantity}" for one in explanations for quantity in OF_COPIES)


@dataclass(frozen=True)
class Steadiness:
    """Compares the maps of copies with those of their images: `maps` (B, H, W) by explanation.

    Both explain the class predicted on the image, `target` (B,), with the same random numbers: what differs is due to
    the perturbation alone.
    """

    subject: Subject
    explanations: tuple[Explanation, ...]
    maps: tuple[Tensor, ...]
    target: Tensor
    keys: Keys
    advance: Callable[[float], None] = nothing

    @classmethod
    def at(
        cls, subject: Subject, explanations: tuple[Explanation, ...], x: Tensor, target: Tensor, keys: Keys,
        advance: Callable[[float], None] = nothing,
    ) -> Steadiness:  # fmt: skip
        """With the maps of the untouched images."""
        maps: list[Tensor] = []
        for one in explanations:
            maps.append(one(subject, x, target, keys))
            advance(len(x) * one.passes)
        return cls(subject, explanations, tuple(maps), target, keys, advance)

    def __call__(self, drawn: Drawn) -> list[Tensor]:
        """(B,) for every one of `columns`."""
        found: list[Tensor] = []
        for one, own in zip(self.explanations, self.maps, strict=True):
            carried = carry(own, drawn)
            alike = likeness(carried, one(self.subject, drawn.copies, self.target, self.keys))
            moved = (alike["top_overlap"] < HALF).float()
            unknown = alike["top_overlap"].isnan() | (drawn.prediction != self.target)
            self.advance(len(carried) * one.passes)
            found += [*(alike[name] for name in LIKENESS), moved.masked_fill(unknown, torch.nan)]
        return found


def carry(maps: Tensor, drawn: Drawn) -> Tensor:
    """Maps (B, H, W) where geometry takes them."""
    severity = maps.new_full((len(maps),), drawn.severity)
    return drawn.trial.perturbation.carry(maps[:, None], drawn.unit, severity)[:, 0]
