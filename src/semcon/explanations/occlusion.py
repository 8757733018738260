"""Occlusion: how much the class's logit falls when a square is covered."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.class_score import class_score, flat, parts
from semcon.core.concepts import Explanation, Learner
from semcon.keyed import Keys


@dataclass(frozen=True)
class Occlusion(Explanation):
    """Squares of the image's mean colour, `side` times the height, at `places` even places a side, edges included.

    Every pixel has the mean fall over the squares that cover it.
    """

    side: float = 0.25
    places: int = 8

    needs_gradient = False
    source = "Zeiler and Fergus, arXiv 1311.2901"

    @property
    def passes(self) -> float:
        """One a place."""
        return 1.0 + self.places**2

    @torch.no_grad()
    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Signed."""
        covers = self._covers(x)
        score, colour = class_score(subject, x, target), x.mean((2, 3), keepdim=True)
        total = x.new_zeros(len(x), *x.shape[2:])
        for part in parts(len(covers), x):
            cover = covers[part]
            copies = torch.where(cover[:, None, None], colour, x)
            fall = score - class_score(subject, flat(copies), target.repeat(len(cover))).view(len(cover), -1)
            total = total + torch.einsum("sb,shw->bhw", fall, cover.to(x))
        return total / covers.sum(0)

    def _covers(self, x: Tensor) -> Tensor:
        """(places ** 2, H, W) bool."""
        height, width = x.shape[2:]
        reach = max(1, round(self.side * height))
        rows, columns = (self._lines(size, min(reach, size)).to(x.device) for size in (height, width))
        return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)

    def _lines(self, size: int, reach: int) -> Tensor:
        """(places, size) bool; squares reach over the edge, so that edge pixels are covered as often as others."""
        reach = max(reach, math.ceil(size / (self.places - 1)))
        middle = torch.linspace(0, size, self.places, dtype=torch.float64)[:, None]
        return (torch.arange(size) + 0.5 - middle).abs() <= reach / 2 + 1e-9
