"""Continuity: cross-entropy plus alpha times the change under a perturbation, the paper's constraint."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from semcon.alpha import Alpha
from semcon.constraint import ContinuityConstraint
from semcon.core.concepts import Learner, Objective
from semcon.keyed import Keys


class Continuity(Objective):
    """-log p(y | x) + alpha DS(x, P(x)). Source: arXiv 2011.09789; settings are semcon's own, the paper gives none."""

    source = "arXiv 2011.09789"

    def __init__(self, constraint: ContinuityConstraint, alpha: Alpha | float = 4.0) -> None:
        super().__init__()
        self.constraint = constraint
        self.alpha = alpha if isinstance(alpha, Alpha) else Alpha(alpha)

    @property
    def passes(self) -> float:
        """Forward and backward for every image and for the share that has a copy; a search takes the clean prediction
        and its own passes on top.
        """
        options, near = self.constraint.options, self.constraint.neighbourhood
        searched = 0.0 if options.search is None else 1 + near.search_passes(options.search)
        return 3 + options.share * (3 + searched)

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """`cross_entropy`, `continuity`."""
        clean, penalty = self.constraint.together(model, x, keys)
        return {
            "cross_entropy": functional.cross_entropy(clean.logits, y, reduction="none"),
            "continuity": penalty,
        }

    def weights(self) -> dict[str, float]:
        """Alpha on the penalty."""
        return {"continuity": self.alpha.value}
