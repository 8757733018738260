"""Gradient: how steeply the class's logit rises at each pixel."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.class_score import class_gradient
from semcon.core.concepts import Explanation, Learner
from semcon.keyed import Keys


@dataclass(frozen=True)
class Gradient(Explanation):
    """The largest absolute gradient over the channels."""

    needs_gradient = True
    signed = False
    source = "Simonyan et al., arXiv 1312.6034"

    @property
    def passes(self) -> float:
        """One forward, one backward."""
        return 3.0

    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Never negative."""
        return class_gradient(subject, x, target).abs().amax(1)
