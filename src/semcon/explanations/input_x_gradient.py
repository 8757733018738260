"""Input x gradient: what each pixel adds to the class's logit, were the network linear."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.class_score import class_gradient
from semcon.core.concepts import Explanation, Learner
from semcon.keyed import Keys


@dataclass(frozen=True)
class InputXGradient(Explanation):
    """The gradient times the canvas, summed over the channels: black pixels get nothing."""

    needs_gradient = True
    source = "Shrikumar et al., arXiv 1605.01713"

    @property
    def passes(self) -> float:
        """One forward, one backward."""
        return 3.0

    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Signed."""
        return (class_gradient(subject, x, target) * x).sum(1)
